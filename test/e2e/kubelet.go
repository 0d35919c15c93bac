package main

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// addressesKey is the annotation of a pod that is to have certain addresses.
const addressesKey = "e2e/addresses"

// kubelet does for pods what a scheduler and a kubelet would: it gives each an address, says that it runs and is
// ready, and removes it once it is deleted; and where a scenario says so, it runs a process.
type kubelet struct {
	bed    *bed
	pods   listers.PodLister
	queue  workqueue.TypedRateLimitingInterface[types.NamespacedName]
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex           // protects following
	owners map[string]*trial    // by namespace
	given  map[types.UID]*given // to pods
	cables int                  // for their names
}

// given is what a pod has from us.
type given struct {
	owner     *trial
	addresses []netip.Addr
	process   *process
	netns     string
	cable     string // its end on the bridge
}

func newKubelet(ctx context.Context, b *bed) (*kubelet, error) {
	ctx, cancel := context.WithCancel(ctx)
	k := &kubelet{bed: b, cancel: cancel, owners: make(map[string]*trial), given: make(map[types.UID]*given)}
	k.queue = workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](
		20*time.Millisecond, time.Second))
	factory := informers.NewSharedInformerFactory(b.client, 0)
	pods := factory.Core().V1().Pods()
	k.pods = pods.Lister()
	if _, err := pods.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    k.enqueue,
		UpdateFunc: func(_, pod any) { k.enqueue(pod) },
		DeleteFunc: k.enqueue,
	}); err != nil {
		return k, err
	}
	factory.StartWithContext(ctx)
	for range 8 {
		k.wg.Go(func() { k.work(ctx) })
	}
	k.wg.Go(func() {
		<-ctx.Done()
		k.queue.ShutDown()
		factory.Shutdown()
	})
	return k, nil
}

func (k *kubelet) close() {
	k.cancel()
	k.wg.Wait()
}

func (k *kubelet) enqueue(object any) {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	if pod, ok := object.(*corev1.Pod); ok {
		if pod.DeletionTimestamp != nil && pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0 {
			k.release(pod.UID) // also if somebody else has deleted it
		}
		k.queue.Add(types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
	}
}

func (k *kubelet) work(ctx context.Context) {
	for {
		key, shutdown := k.queue.Get()
		if shutdown {
			return
		}
		if err := k.sync(ctx, key); err != nil && !apierrors.IsNotFound(err) {
			k.queue.AddRateLimited(key)
		} else {
			k.queue.Forget(key)
		}
		k.queue.Done(key)
	}
}

// sync takes a pod one step further; the change that it makes brings it here again.
func (k *kubelet) sync(ctx context.Context, key types.NamespacedName) error {
	k.mu.Lock()
	owner := k.owners[key.Namespace]
	k.mu.Unlock()
	pod, err := k.pods.Pods(key.Namespace).Get(key.Name)
	if err != nil || owner == nil {
		return err
	}
	pods := k.bed.client.CoreV1().Pods(pod.Namespace)
	policy := owner.policyOf(pod)
	switch {
	case pod.DeletionTimestamp != nil:
		if policy.lingers {
			return nil
		}
		if policy.container != nil {
			k.terminate(pod)
		}
		k.release(pod.UID)
		now := int64(0)
		return pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	case pod.Spec.NodeName == "":
		return pods.Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: fakeNode},
		}, metav1.CreateOptions{})
	case pod.Status.PodIP == "" && !policy.unaddressed:
		return k.run(ctx, owner, policy, pod)
	}
	return nil
}

// run gives a pod its addresses, starts its process, and tells the API server.
func (k *kubelet) run(ctx context.Context, owner *trial, policy podPolicy, pod *corev1.Pod) error {
	k.mu.Lock()
	g := k.given[pod.UID]
	if g == nil {
		g = &given{owner: owner}
		k.given[pod.UID] = g
	}
	k.mu.Unlock()
	if g.addresses == nil {
		var err error
		if g.addresses, err = owner.addressesFor(pod, policy); err != nil {
			return err
		}
	}
	if policy.runs() && g.process == nil {
		if err := k.startProcess(ctx, owner, policy, pod, g); err != nil {
			owner.note("%s: %v", pod.Name, err)
			return err
		}
		if policy.container != nil {
			go owner.probes(pod, g.process)
		}
	}
	ready := !policy.unready
	if ready && policy.readyWhen != nil && g.process != nil {
		ready = false
		go k.probe(ctx, owner, policy, pod, g.process)
	}
	ready = ready && policy.container == nil
	pod = pod.DeepCopy()
	pod.Status = statusOf(g.addresses, ready)
	_, err := k.bed.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	return err
}

// probe is the pod's readiness probe.
func (k *kubelet) probe(ctx context.Context, owner *trial, policy podPolicy, pod *corev1.Pod, p *process) {
	err := eventually(ctx, 2*time.Minute, func() error { return p.says(policy.readyWhen) })
	if err == nil {
		err = setReady(ctx, k.bed.client, pod.Namespace, pod.Name, true)
	}
	if err != nil {
		owner.note("%s does not become ready: %v", pod.Name, err)
	}
}

func (k *kubelet) startProcess(ctx context.Context, owner *trial, policy podPolicy, pod *corev1.Pod, g *given) error {
	k.mu.Lock()
	k.cables++
	cable := fmt.Sprintf("v%d", k.cables)
	k.mu.Unlock()
	name := k.bed.netns(cable)
	servers := policy.servers
	if servers == nil {
		servers = owner.server.addresses(g.addresses)
	}
	err := newPodNetns(ctx, k.bed.plane.name, name, cable, g.addresses)
	if err == nil {
		err = writeEtc(name, podEtc(pod, g.addresses, servers))
	}
	var c command
	if err == nil {
		c, err = policy.command(pod, g.addresses, name)
	}
	var p *process
	if err == nil {
		p, err = start(name, owner.dir, c)
	}
	k.mu.Lock()
	released := k.given[pod.UID] != g
	if err == nil && !released {
		g.netns, g.cable, g.process = name, cable, p
	}
	k.mu.Unlock()
	if err != nil || released {
		k.unplug(name, cable, p)
	}
	return err
}

// terminate has a pod's process end in good order, within the time that the pod has for it.
func (k *kubelet) terminate(pod *corev1.Pod) {
	if p, _ := k.process(pod.UID); p != nil && pod.DeletionGracePeriodSeconds != nil {
		p.stop(time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second)
	}
}

// unplug ends a pod's process and removes its network. The cable goes first: nobody hears that the process ends, and
// who tries to reach it later gets no answer.
func (k *kubelet) unplug(netns, cable string, p *process) {
	_ = batch(context.Background(), in(k.bed.plane.name, "link del "+cable)...)
	if p != nil {
		p.stop(0)
	}
	_ = k.bed.removeNetns(netns)
}

// release ends what a pod has from us. Its addresses are not given again: who wants that says so.
func (k *kubelet) release(uid types.UID) {
	k.mu.Lock()
	g := k.given[uid]
	delete(k.given, uid)
	k.mu.Unlock()
	if g != nil && g.process != nil {
		k.unplug(g.netns, g.cable, g.process)
	}
}

// own has the kubelet care for the pods of a namespace.
func (k *kubelet) own(namespace string, t *trial) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.owners[namespace] = t
}

// look has it look at all pods of a namespace again.
func (k *kubelet) look(namespace string) {
	pods, _ := k.pods.Pods(namespace).List(labels.Everything())
	for _, pod := range pods {
		k.enqueue(pod)
	}
}

// disown ends all that a trial's pods have from us.
func (k *kubelet) disown(t *trial) {
	k.mu.Lock()
	for namespace, owner := range k.owners {
		if owner == t {
			delete(k.owners, namespace)
		}
	}
	var uids []types.UID
	for uid, g := range k.given {
		if g.owner == t {
			uids = append(uids, uid)
		}
	}
	k.mu.Unlock()
	for _, uid := range uids {
		k.release(uid)
	}
}

// process gives the process of a pod, if it runs.
func (k *kubelet) process(uid types.UID) (*process, string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if g := k.given[uid]; g != nil && g.process != nil {
		return g.process, g.netns
	}
	return nil, ""
}
