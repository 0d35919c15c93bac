package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

// networkPolicies enforces NetworkPolicies on the node that it runs on. The command of its module does the same, but runs
// in pods only.
func networkPolicies() *cobra.Command {
	var kubeconfig string
	cmd := &cobra.Command{Use: "kube-network-policies", SilenceUsage: true, RunE: func(cmd *cobra.Command, _ []string) error {
		config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
		if err != nil {
			return err
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		name, err := os.Hostname()
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		all := informers.NewSharedInformerFactory(client, 0)
		c, err := networkpolicy.NewController(client, all.Networking().V1().NetworkPolicies(), all.Core().V1().Namespaces(),
			all.Core().V1().Pods(), nil, nil, nil, nil, networkpolicy.Config{NodeName: name})
		if err != nil {
			return err
		}
		all.Start(ctx.Done())
		return errors.Join(c.Run(ctx), errors.New("the controller has ended"))
	}}
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "path of a kubeconfig")
	cmd.SetContext(context.Background())
	return cmd
}
