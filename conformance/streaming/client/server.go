package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// server is the program that is tested.
type server struct {
	lock sync.Mutex
	in   io.WriteCloser
	out  *bufio.Reader
	cmd  *exec.Cmd
}

type request struct {
	Kind    string   `json:"kind"`
	Command []string `json:"command,omitempty"`
	Ports   []int    `json:"ports,omitempty"`
	TTY     bool     `json:"tty"`
	Stdin   bool     `json:"stdin"`
	Stdout  bool     `json:"stdout"`
	Stderr  bool     `json:"stderr"`
}

func start(path string) (*server, error) {
	cmd := exec.Command(path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &server{in: in, out: bufio.NewReader(out), cmd: cmd}, cmd.Start()
}

func (s *server) ask(r request) (string, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	line, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(s.in, "%s\n", line); err != nil {
		return "", err
	}
	answer, err := s.out.ReadString('\n')
	answer = strings.TrimSpace(answer)
	if err == nil && strings.HasPrefix(answer, "error") {
		err = fmt.Errorf("%s", answer)
	}
	return answer, err
}

// waitIdle waits until the server runs no program any more.
func (s *server) waitIdle(patience time.Duration) error {
	until := time.Now().Add(patience)
	for {
		running, err := s.ask(request{Kind: "running"})
		if err != nil || running == "0" {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("%s programs still run", running)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// memory is the most that the server has had, in KiB.
func (s *server) memory() (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(status), "\n") {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib, nil
		}
	}
	return 0, fmt.Errorf("no VmHWM in the status of the server")
}

func (s *server) stop() {
	s.in.Close()
	s.cmd.Wait()
}
