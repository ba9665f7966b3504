// cribench measures CRI runtimes side by side over connections that stay open:
//
//	cribench -image REF [-rounds N] [-at-once N] [-resident N] NAME,SOCKET,CGROUP...
//
// CGROUP is the directory of the runtime's own cgroup (cpuacct or v2), which
// tells what its processes have used; pods get cgroups below /pods-NAME.
// Prints one JSON document of samples; times are in milliseconds.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// A sample of one step: how long it took, and what the runtime used of the CPU.
type sample struct {
	Wall float64 `json:"wall_ms"`
	CPU  float64 `json:"cpu_ms"`
}

type results struct {
	Version string              `json:"version"`
	Steps   map[string][]sample `json:"steps"`
	// Of resident pods: kibibytes, in proportion where pages are shared.
	DaemonPSS int `json:"daemon_pss_kib"`
	EmptyPSS  int `json:"daemon_pss_empty_kib"`
	PodPSS    int `json:"pod_pss_kib"`
	// How many pods and containers were there then.
	Pods       int `json:"pods"`
	Containers int `json:"containers"`
}

type runtime struct {
	name, cgroup string
	pods         cri.RuntimeServiceClient
	images       cri.ImageServiceClient
	results      results
	count        int
}

var (
	image    = flag.String("image", "", "image of the containers; has sleep and true")
	rounds   = flag.Int("rounds", 10, "pods one after the other, of each runtime")
	atOnce   = flag.Int("at-once", 20, "pods at once")
	resident = flag.Int("resident", 100, "pods that stay, of two containers each")
)

func main() {
	flag.Parse()
	var all []*runtime
	for _, argument := range flag.Args() {
		parts := strings.Split(argument, ",")
		if len(parts) != 3 {
			log.Fatalf("%q is not NAME,SOCKET,CGROUP", argument)
		}
		all = append(all, open(parts[0], parts[1], parts[2]))
	}
	for _, r := range all {
		must(r.prepare())
	}
	for round := 0; round <= *rounds; round++ {
		for _, network := range []cri.NamespaceMode{cri.NamespaceMode_POD, cri.NamespaceMode_NODE} {
			for _, r := range all {
				must(r.onePod(network, round > 0))
			}
		}
	}
	for round := 0; round < 3; round++ {
		for _, r := range all {
			must(r.manyPods(*atOnce))
		}
	}
	for _, r := range all {
		must(r.residentPods(*resident))
	}
	out := map[string]results{}
	for _, r := range all {
		out[r.name] = r.results
	}
	must(json.NewEncoder(os.Stdout).Encode(out))
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func open(name, socket, cgroup string) *runtime {
	connection, err := grpc.NewClient("unix:"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
	must(err)
	return &runtime{
		name: name, cgroup: cgroup,
		pods: cri.NewRuntimeServiceClient(connection), images: cri.NewImageServiceClient(connection),
		results: results{Steps: map[string][]sample{}},
	}
}

// What an RPC may take at most.
func patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 2*time.Minute)
}

func (r *runtime) prepare() error {
	ctx, cancel := patience()
	defer cancel()
	version, err := r.pods.Version(ctx, &cri.VersionRequest{})
	if err != nil {
		return fmt.Errorf("%s: version: %w", r.name, err)
	}
	r.results.Version = version.GetRuntimeName() + " " + version.GetRuntimeVersion()
	_, err = r.images.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: *image}})
	if err != nil {
		return fmt.Errorf("%s: pull: %w", r.name, err)
	}
	r.results.EmptyPSS, _, err = r.memory()
	return err
}

// Runs a step and keeps its sample, unless the round is only to warm up.
func (r *runtime) step(name string, keep bool, work func() error) error {
	cpu, err := r.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := work(); err != nil {
		return fmt.Errorf("%s: %s: %w", r.name, name, err)
	}
	wall := time.Since(began)
	after, err := r.cpu()
	if err != nil {
		return err
	}
	if keep {
		r.results.Steps[name] = append(r.results.Steps[name],
			sample{float64(wall.Microseconds()) / 1000, float64((after - cpu).Microseconds()) / 1000})
	}
	return nil
}

func (r *runtime) onePod(network cri.NamespaceMode, keep bool) error {
	kind := "pod network"
	if network == cri.NamespaceMode_NODE {
		kind = "host network"
	}
	named := func(step string) string { return kind + ": " + step }
	p := r.newPod(network)
	steps := []struct {
		name string
		work func() error
	}{
		{"run pod sandbox", p.run}, {"create container", p.create}, {"start container", p.start},
		{"exec sync", p.exec}, {"stop pod sandbox", p.stop}, {"remove pod sandbox", p.remove},
	}
	for _, s := range steps {
		if err := r.step(named(s.name), keep, s.work); err != nil {
			return err
		}
	}
	return nil
}

// As many at once, as a node that starts does it.
func each(pods []*pod, limit int, work func(*pod) error) error {
	var group sync.WaitGroup
	failures := make(chan error, len(pods))
	gate := make(chan struct{}, limit)
	for _, p := range pods {
		group.Add(1)
		go func() {
			defer group.Done()
			gate <- struct{}{}
			defer func() { <-gate }()
			if err := work(p); err != nil {
				failures <- err
			}
		}()
	}
	group.Wait()
	close(failures)
	return <-failures
}

func (r *runtime) manyPods(n int) error {
	var pods []*pod
	for range n {
		pods = append(pods, r.newPod(cri.NamespaceMode_POD))
	}
	begin := func() error { return each(pods, n, (*pod).begin) }
	end := func() error { return each(pods, n, (*pod).end) }
	if err := r.step(fmt.Sprintf("%d at once: start", n), true, begin); err != nil {
		return err
	}
	return r.step(fmt.Sprintf("%d at once: stop and remove", n), true, end)
}

func (r *runtime) residentPods(n int) error {
	var pods []*pod
	for range n {
		pods = append(pods, r.newPod(cri.NamespaceMode_POD))
	}
	two := func(p *pod) error {
		if err := p.begin(); err != nil {
			return err
		}
		if err := p.create(); err != nil {
			return err
		}
		return p.start()
	}
	if err := each(pods, 8, two); err != nil {
		return fmt.Errorf("%s: %d resident pods: %w", r.name, n, err)
	}
	time.Sleep(3 * time.Second)
	var err error
	if r.results.DaemonPSS, r.results.PodPSS, err = r.memory(); err != nil {
		return err
	}
	r.results.Pods = n
	idle := func() error { time.Sleep(10 * time.Second); return nil }
	if err := r.step("resident: idle for 10 s", true, idle); err != nil {
		return err
	}
	for i := range 51 {
		keep := i > 0
		for name, work := range map[string]func() error{
			"resident: exec sync": pods[i%n].exec,
			"resident: list containers": func() error {
				ctx, cancel := patience()
				defer cancel()
				list, err := r.pods.ListContainers(ctx, &cri.ListContainersRequest{})
				r.results.Containers = len(list.GetContainers())
				return err
			},
			"resident: list pod sandboxes": func() error {
				ctx, cancel := patience()
				defer cancel()
				_, err := r.pods.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
				return err
			},
		} {
			if err := r.step(name, keep, work); err != nil {
				return err
			}
		}
	}
	for i := range 6 {
		stats := func() error {
			ctx, cancel := patience()
			defer cancel()
			_, err := r.pods.ListContainerStats(ctx, &cri.ListContainerStatsRequest{})
			return err
		}
		if err := r.step("resident: list container stats", i > 0, stats); err != nil {
			return err
		}
	}
	return each(pods, 8, (*pod).end)
}
