package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// What the runtime's processes have used, with those that have ended.
func (r *runtime) cpu() (time.Duration, error) {
	if text, err := os.ReadFile(filepath.Join(r.cgroup, "cpuacct.usage")); err == nil {
		nanoseconds, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		return time.Duration(nanoseconds), err
	}
	text, err := os.ReadFile(filepath.Join(r.cgroup, "cpu.stat"))
	if err != nil {
		return 0, err
	}
	var microseconds int64
	_, err = fmt.Sscanf(string(text), "usage_usec %d", &microseconds)
	return time.Duration(microseconds) * time.Microsecond, err
}

// Memory of the daemon, and of what else is there for pods: supervisors, shims,
// pause programs; what runs in the containers is left out. In KiB.
func (r *runtime) memory() (daemon, pods int, err error) {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, 0, err
	}
	own := "/" + filepath.Base(r.cgroup)
	for _, process := range processes {
		groups, err := os.ReadFile(process + "/cgroup")
		if err != nil {
			continue
		}
		command, _ := os.ReadFile(process + "/cmdline")
		words := strings.Split(string(command), "\x00")
		switch {
		case strings.Contains(string(groups), "/pods-"+r.name+"/"):
			if strings.HasSuffix(words[0], "sleep") {
				continue
			}
			pods += pss(process)
		case strings.Contains(string(groups), ":"+own+"\n"), strings.Contains(string(groups), own+"/"):
			if len(words) > 1 && (words[1] == "serve" || words[1] == "--config") {
				daemon += pss(process)
			} else {
				pods += pss(process)
			}
		}
	}
	return daemon, pods, nil
}

func pss(process string) int {
	text, err := os.ReadFile(process + "/smaps_rollup")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, "Pss:"); found {
			kib, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
			return kib
		}
	}
	return 0
}
