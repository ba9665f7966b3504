package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
)

const large = 100 << 20

// client is one way to speak to the server.
type client struct {
	name     string
	version  int
	executor func(url string) (remotecommand.Executor, error)
	// Whether the client can end its input.
	halfClose bool
	proxied   bool
}

func spdyClient(version int, protocols ...string) client {
	name := "spdy " + protocols[0]
	if len(protocols) > 1 {
		name = "spdy with all protocols"
	}
	return client{name, version,
		func(address string) (remotecommand.Executor, error) {
			transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{Host: address})
			if err != nil {
				return nil, err
			}
			parsed, err := url.Parse(address)
			if err != nil {
				return nil, err
			}
			return remotecommand.NewSPDYExecutorForProtocols(transport, upgrader, "POST", parsed, protocols...)
		}, version > 1, false}
}

func webSocketClient(version int, protocol string) client {
	return client{"websocket " + protocol, version,
		func(address string) (remotecommand.Executor, error) {
			return remotecommand.NewWebSocketExecutorForProtocols(&rest.Config{Host: address}, "GET", address, protocol)
		}, version >= 5, false}
}

// mayMissErrors: the library's client of the first version returns when the
// outputs have ended, without waiting for the error stream. What the server
// says there is checked by hand, in websocket.go.
func (c client) mayMissErrors() bool { return c.version == 1 }

func clients() []client {
	return []client{
		spdyClient(5, "v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"),
		spdyClient(4, "v4.channel.k8s.io"),
		spdyClient(3, "v3.channel.k8s.io"),
		spdyClient(2, "v2.channel.k8s.io"),
		spdyClient(1, "channel.k8s.io"),
		webSocketClient(5, "v5.channel.k8s.io"),
		webSocketClient(4, "v4.channel.k8s.io"),
		webSocketClient(1, "channel.k8s.io"),
		throughKubelet(spdyClient(4, "v4.channel.k8s.io")),
		throughKubelet(webSocketClient(5, "v5.channel.k8s.io")),
	}
}

// run executes a command with the streams that options has.
func (c client) run(ctx context.Context, s *server, kind string, options remotecommand.StreamOptions, command ...string) error {
	address, err := s.ask(request{Kind: kind, Command: command, TTY: options.Tty,
		Stdin: options.Stdin != nil, Stdout: options.Stdout != nil, Stderr: options.Stderr != nil})
	if err != nil {
		return err
	}
	executor, err := c.executor(address)
	if err != nil {
		return err
	}
	return executor.StreamWithContext(ctx, options)
}

type sizes struct{ left int }

func (s *sizes) Next() *remotecommand.TerminalSize {
	if s.left == 0 {
		return nil
	}
	s.left--
	// The server keeps the newest only.
	time.Sleep(200 * time.Millisecond)
	return &remotecommand.TerminalSize{Width: uint16(80 + s.left), Height: 24}
}

// pattern is what the server's program `yield` writes.
type pattern struct{ at, end int }

func (p *pattern) Read(b []byte) (int, error) {
	n := 0
	for ; n < len(b) && p.at < p.end; n++ {
		b[n] = byte(p.at ^ p.at>>8 ^ p.at>>16)
		p.at++
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func patternSum(size int) string {
	sum := sha256.New()
	io.Copy(sum, &pattern{0, size})
	return fmt.Sprintf("%x", sum.Sum(nil))
}

func expect(what, want, got string) error {
	if want != got {
		return fmt.Errorf("%s: expected %q, got %q", what, want, got)
	}
	return nil
}

func commands(s *server) {
	ctx := context.Background()
	for _, c := range clients() {
		check(c.name+": both outputs", func() error {
			var stdout, stderr bytes.Buffer
			err := c.run(ctx, s, "exec", remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr}, "both")
			return errors.Join(err, expect("stdout", "to stdout", stdout.String()), expect("stderr", "to stderr", stderr.String()))
		})
		check(c.name+": exit code", func() error {
			err := c.run(ctx, s, "exec", remotecommand.StreamOptions{Stdout: io.Discard}, "exit", "42")
			var code exec.CodeExitError
			switch {
			case c.mayMissErrors() && err == nil:
			case err == nil:
				return fmt.Errorf("no error")
			case c.version >= 4 && (!errors.As(err, &code) || code.Code != 42):
				return fmt.Errorf("not code 42: %w", err)
			case !strings.Contains(err.Error(), "42"):
				return fmt.Errorf("no 42: %w", err)
			}
			return nil
		})
		check(c.name+": an error of the backend", func() error {
			err := c.run(ctx, s, "exec", remotecommand.StreamOptions{Stdout: io.Discard}, "nonsense")
			if c.mayMissErrors() && err == nil {
				return nil
			}
			if err == nil || !strings.Contains(err.Error(), "there is no program nonsense") {
				return fmt.Errorf("got %v", err)
			}
			return nil
		})
		check(c.name+": attach", func() error {
			var stdout, stderr bytes.Buffer
			err := c.run(ctx, s, "attach", remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr}, "both")
			return errors.Join(err, expect("stdout", "to stdout", stdout.String()), expect("stderr", "to stderr", stderr.String()))
		})
		size := 5 << 20
		if c.version >= 5 && !c.proxied {
			size = large
		}
		check(fmt.Sprintf("%s: %d MiB from the server", c.name, size>>20), func() error {
			var stderr bytes.Buffer
			sum := sha256.New()
			err := c.run(ctx, s, "exec", remotecommand.StreamOptions{Stdout: sum, Stderr: &stderr}, "yield", fmt.Sprint(size))
			return errors.Join(err, expect("sum", fmt.Sprintf("%x", sum.Sum(nil)), stderr.String()), expect("sum", patternSum(size), stderr.String()))
		})
		if c.halfClose {
			check(fmt.Sprintf("%s: %d MiB to the server, half-close", c.name, size>>20), func() error {
				var stdout bytes.Buffer
				err := c.run(ctx, s, "exec", remotecommand.StreamOptions{Stdin: &pattern{0, size}, Stdout: &stdout}, "sum")
				return errors.Join(err, expect("sum", patternSum(size), stdout.String()))
			})
			check(fmt.Sprintf("%s: %d MiB there and back", c.name, size>>20), func() error {
				sum := sha256.New()
				err := c.run(ctx, s, "exec", remotecommand.StreamOptions{Stdin: &pattern{0, size}, Stdout: sum}, "cat")
				return errors.Join(err, expect("sum", patternSum(size), fmt.Sprintf("%x", sum.Sum(nil))))
			})
		}
		if c.version >= 3 {
			check(c.name+": terminal and sizes", func() error {
				var stdout bytes.Buffer
				options := remotecommand.StreamOptions{Stdout: &stdout, Tty: true, TerminalSizeQueue: &sizes{3}}
				err := c.run(ctx, s, "exec", options, "size", "3")
				return errors.Join(err, expect("sizes", "82x24\n81x24\n80x24\n", stdout.String()))
			})
		}
		check(c.name+": a client that vanishes", func() error {
			ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			defer cancel()
			reader, writer := io.Pipe()
			defer writer.Close()
			err := c.run(ctx, s, "exec", remotecommand.StreamOptions{Stdin: reader, Stdout: io.Discard}, "sleep")
			if !errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("not the deadline: %v", err)
			}
			return s.waitIdle(10 * time.Second)
		})
		check(c.name+": 50 at once", func() error {
			errs := make([]error, 50)
			var all sync.WaitGroup
			for i := range errs {
				all.Add(1)
				go func() {
					defer all.Done()
					sum := sha256.New()
					err := c.run(ctx, s, "exec", remotecommand.StreamOptions{Stdout: sum}, "yield", "1000000")
					errs[i] = errors.Join(err, expect("sum", patternSum(1000000), fmt.Sprintf("%x", sum.Sum(nil))))
				}()
			}
			all.Wait()
			return errors.Join(errs...)
		})
	}
	check("an address is good once", func() error {
		c := clients()[0]
		address, err := s.ask(request{Kind: "exec", Command: []string{"exit", "0"}, Stdout: true})
		if err != nil {
			return err
		}
		for i := range 2 {
			executor, err := c.executor(address)
			if err != nil {
				return err
			}
			err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: io.Discard})
			if (err == nil) != (i == 0) {
				return fmt.Errorf("turn %d: %v", i, err)
			}
		}
		return nil
	})
	check("the server's memory", func() error {
		kib, err := s.memory()
		if err == nil && kib > 128<<10 {
			err = fmt.Errorf("%d KiB", kib)
		}
		return err
	})
}
