// Command e2e tries *longnames* with what it is for: a real Kubernetes control plane and real Erlang nodes, in network
// namespaces of their own. Run it as root in this directory; see `make e2e` for what has to be installed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"

	"k8s.io/klog/v2"

	"github.com/longnames/longnames/test/e2e/build"
)

// errFailed is said by the lines that are printed.
var errFailed = errors.New("not all scenarios passed")

// options are the command's flags.
type options struct {
	run      *regexp.Regexp
	parallel int
	coredns  string
	keep     bool
	verbose  bool
	matrix   string
	picture  string
	peers    peers
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == containerCommand {
		fmt.Fprintln(os.Stderr, runContainer(os.Args[2]))
		os.Exit(1)
	}
	var o options
	pattern := flag.String("run", "", "try only the scenarios and faults that match this `regexp`")
	list := flag.Bool("list", false, "list the scenarios and faults")
	flag.IntVar(&o.parallel, "parallel", 4, "try `n` scenarios at a time")
	flag.StringVar(&o.coredns, "coredns", "", "`path` of a CoreDNS; without, it is built from this checkout")
	flag.StringVar(&o.matrix, "matrix", "", "write the table of faults to this `file`, as Markdown")
	flag.StringVar(&o.picture, "dashboard", "", "draw the panels of the dashboard into this `file`, as PNG, after a run of some minutes; for the scenario monitoring")
	flag.BoolVar(&o.keep, "keep", false, "keep all logs")
	flag.BoolVar(&o.verbose, "v", false, "print what scenarios note")
	o.peers.flags()
	flag.Parse()
	var err error
	if o.run, err = regexp.Compile(*pattern); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if *list {
		for _, s := range scenarios() {
			fmt.Println(s.name)
		}
		for _, p := range allPlans() {
			for _, r := range p.rows {
				fmt.Println(r.name)
			}
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err = o.main(ctx)
	if err != nil && ctx.Err() != nil {
		err = errors.New("interrupted") // whatever it was that could not go on
	}
	stop()
	if err != nil {
		if !errors.Is(err, errFailed) {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
}

func (o *options) main(ctx context.Context) (err error) {
	begin := time.Now()
	chosen, faults := o.choose()
	if len(chosen) == 0 && len(faults) == 0 && o.peers.chosen == "" {
		return errors.New("no such scenario, see -list")
	}
	if os.Geteuid() != 0 {
		return errors.New("it makes network namespaces, for which it has to be root")
	}
	controlplane, err := build.ControlPlane(ctx, toEndOf, "controlplane")
	if err != nil {
		return err
	}
	r, err := newRun()
	if err != nil {
		return err
	}
	defer func() {
		r.close()
		if o.keep || err != nil {
			fmt.Println("Logs are in", r.dir)
		} else {
			os.RemoveAll(r.dir)
		}
	}()
	// What clients of ours notice of faults is for who looks for it.
	log, err := os.Create(filepath.Join(r.dir, "clients.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	klog.SetSlogLogger(slog.New(slog.NewTextHandler(log, nil)))
	m := newMatrix(ctx, r, faults)
	coredns, err := o.build(ctx, r)
	if err != nil {
		return err
	}
	defer os.Remove(coredns) // no log
	b, err := openBed(ctx, r, controlplane, coredns)
	defer b.close()
	if err != nil {
		return err
	}
	fmt.Printf("The control plane runs after %.1f s.\n", time.Since(begin).Seconds())
	if o.peers.chosen != "" {
		return o.peers.measure(ctx, b)
	}
	b.picture = o.picture
	failed := o.try(ctx, b, chosen)
	m.coredns, m.controlplane, m.shared = coredns, controlplane, b
	if len(faults) > 0 {
		if err := hurry(); err != nil {
			fmt.Println("Answers may be late on a busy machine:", err)
		}
	}
	outcomes := m.try(ctx, len(chosen)+1)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	n, err := o.report(outcomes)
	if err != nil {
		return err
	}
	failed += n
	fmt.Printf("%d passed, %d failed\n", len(chosen)+len(outcomes)-failed, failed)
	fmt.Printf("All of it took %.0f s.\n", time.Since(begin).Seconds())
	if failed > 0 {
		return errFailed
	}
	return nil
}

// choose gives what is to be tried: nothing, where something is to be measured.
func (o *options) choose() (chosen []scenario, faults []*plan) {
	if o.peers.chosen != "" {
		return nil, nil
	}
	for _, s := range scenarios() {
		if o.run.MatchString(s.name) {
			chosen = append(chosen, s)
		}
	}
	return chosen, plans(o.run.MatchString)
}

func (o *options) build(ctx context.Context, r *run) (string, error) {
	to := filepath.Join(r.dir, "coredns")
	if o.coredns != "" { // a copy: somebody may build another meanwhile
		return to, build.CopyFile(to, o.coredns)
	}
	return to, build.Go(ctx, toEndOf, "../..", to, "./cmd/coredns")
}

// scenarioTime is how long a scenario may take.
const scenarioTime = 5 * time.Minute

// attempt tries one, and tells what may explain that it failed.
func (o *options) attempt(ctx context.Context, b *bed, s scenario, number int) error {
	ctx, cancel := context.WithTimeout(ctx, scenarioTime)
	defer cancel()
	err := attempt(ctx, b, s, number)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("not done within %s: %w", scenarioTime, err)
	}
	return errors.Join(append([]error{err}, b.dead()...)...)
}

// try tries all, some at once, and gives the number of those that failed.
func (o *options) try(ctx context.Context, b *bed, chosen []scenario) int {
	var mu sync.Mutex
	failed := 0
	var wg sync.WaitGroup
	slots := make(chan struct{}, max(o.parallel, 1))
	for i, s := range chosen {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			begin := time.Now()
			err := o.attempt(ctx, b, s, i+1)
			if ctx.Err() != nil {
				return // it says nothing about the scenario
			}
			mu.Lock()
			defer mu.Unlock()
			result := "ok"
			if err != nil {
				failed++
				result = "FAILED"
			}
			fmt.Printf("%-36s %-6s %6.1f s\n", s.name, result, time.Since(begin).Seconds())
			dir := filepath.Join(b.dir, s.name)
			if err != nil {
				fmt.Printf("    %v\n    logs: %s\n    last answers: %s\n", err, dir, filepath.Join(dir, "answers.log"))
			}
			if notes, err := os.ReadFile(filepath.Join(dir, "notes.log")); err == nil && o.verbose {
				os.Stdout.Write(notes)
			}
		})
	}
	wg.Wait()
	return failed
}
