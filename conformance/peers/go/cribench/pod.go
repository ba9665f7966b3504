package main

import (
	"fmt"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// A pod of one runtime and what was made of it.
type pod struct {
	of         *runtime
	config     *cri.PodSandboxConfig
	id         string
	containers []string
}

func (r *runtime) newPod(network cri.NamespaceMode) *pod {
	r.count++
	name := fmt.Sprintf("bench-%d", r.count)
	hostname := name
	if network == cri.NamespaceMode_NODE {
		hostname = "" // The kubelet gives none: it is the host's.
	}
	return &pod{of: r, config: &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: name, Namespace: "default", Uid: name},
		Hostname: hostname,
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent: "/pods-" + r.name + "/" + name,
			SecurityContext: &cri.LinuxSandboxSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Network: network, Pid: cri.NamespaceMode_CONTAINER},
			},
		},
	}}
}

func (p *pod) run() error {
	ctx, cancel := patience()
	defer cancel()
	answer, err := p.of.pods.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: p.config})
	p.id = answer.GetPodSandboxId()
	return err
}

func (p *pod) create() error {
	ctx, cancel := patience()
	defer cancel()
	answer, err := p.of.pods.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId:  p.id,
		SandboxConfig: p.config,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: fmt.Sprintf("main-%d", len(p.containers))},
			Image:    &cri.ImageSpec{Image: *image},
			Command:  []string{"sleep", "1000000"},
			Linux: &cri.LinuxContainerConfig{
				Resources: &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000, MemoryLimitInBytes: 64 << 20},
				SecurityContext: &cri.LinuxContainerSecurityContext{
					NamespaceOptions: p.config.Linux.SecurityContext.NamespaceOptions,
					Seccomp:          &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
				},
			},
		},
	})
	if err == nil {
		p.containers = append(p.containers, answer.GetContainerId())
	}
	return err
}

func (p *pod) start() error {
	ctx, cancel := patience()
	defer cancel()
	_, err := p.of.pods.StartContainer(ctx,
		&cri.StartContainerRequest{ContainerId: p.containers[len(p.containers)-1]})
	return err
}

func (p *pod) exec() error {
	ctx, cancel := patience()
	defer cancel()
	answer, err := p.of.pods.ExecSync(ctx, &cri.ExecSyncRequest{
		ContainerId: p.containers[0], Cmd: []string{"true"}, Timeout: int64(10 * time.Second / time.Second)})
	if err == nil && answer.GetExitCode() != 0 {
		return fmt.Errorf("exit code %d", answer.GetExitCode())
	}
	return err
}

func (p *pod) stop() error {
	ctx, cancel := patience()
	defer cancel()
	_, err := p.of.pods.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.id})
	return err
}

func (p *pod) remove() error {
	ctx, cancel := patience()
	defer cancel()
	_, err := p.of.pods.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.id})
	return err
}

// Sandbox, container, start: what a kubelet does until a pod runs.
func (p *pod) begin() error {
	for _, step := range []func() error{p.run, p.create, p.start} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (p *pod) end() error {
	if err := p.stop(); err != nil {
		return err
	}
	return p.remove()
}
