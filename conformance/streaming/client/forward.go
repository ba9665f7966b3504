package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

func spdyDialer(address *url.URL) (httpstream.Dialer, error) {
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{Host: address.String()})
	if err != nil {
		return nil, err
	}
	return spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", address), nil
}

func tunnelDialer(address *url.URL) (httpstream.Dialer, error) {
	return portforward.NewSPDYOverWebsocketDialer(address, &rest.Config{Host: address.String()})
}

// forwarding forwards a local port to one inside; use gets that port's address.
func forwarding(s *server, dialer func(*url.URL) (httpstream.Dialer, error), port int, use func(address string) error) error {
	answer, err := s.ask(request{Kind: "portforward"})
	if err != nil {
		return err
	}
	address, err := url.Parse(answer)
	if err != nil {
		return err
	}
	dial, err := dialer(address)
	if err != nil {
		return err
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	var out bytes.Buffer
	forwarder, err := portforward.NewOnAddresses(dial, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, stop, ready, io.Discard, &out)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		return fmt.Errorf("not ready: %w", err)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return err
	}
	err = use(fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
	close(stop)
	<-ended
	return err
}

// talk sends size bytes of the pattern, ends its side, and returns what comes.
func talk(address string, size int, into io.Writer) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(90 * time.Second))
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(conn, &pattern{0, size})
		sent <- errors.Join(err, conn.(*net.TCPConn).CloseWrite())
	}()
	_, err = io.Copy(into, conn)
	return errors.Join(err, <-sent)
}

func portForwards(s *server) {
	dialers := map[string]func(*url.URL) (httpstream.Dialer, error){
		"port-forward spdy": spdyDialer, "port-forward tunnel": tunnelDialer,
	}
	for name, dialer := range dialers {
		check(name+": 100 MiB there and back", func() error {
			return forwarding(s, dialer, 7, func(address string) error {
				sum := sha256.New()
				err := talk(address, large, sum)
				return errors.Join(err, expect("sum", patternSum(large), fmt.Sprintf("%x", sum.Sum(nil))))
			})
		})
		check(name+": half-close", func() error {
			return forwarding(s, dialer, 19, func(address string) error {
				var got bytes.Buffer
				err := talk(address, 1<<20, &got)
				return errors.Join(err, expect("sum", patternSum(1<<20), got.String()))
			})
		})
		check(name+": the pod hangs up first", func() error {
			return forwarding(s, dialer, 13, func(address string) error {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					return err
				}
				defer conn.Close()
				start := time.Now()
				got, err := io.ReadAll(conn)
				if took := time.Since(start); took > 900*time.Millisecond {
					err = errors.Join(err, fmt.Errorf("took %v", took))
				}
				return errors.Join(err, expect("text", "hello", string(got)))
			})
		})
		check(name+": 50 at once over one connection, three times", func() error {
			return forwarding(s, dialer, 7, func(address string) error {
				for range 3 {
					errs := make([]error, 50)
					var all sync.WaitGroup
					for i := range errs {
						all.Add(1)
						go func() {
							defer all.Done()
							sum := sha256.New()
							err := talk(address, 500000+i, sum)
							errs[i] = errors.Join(err, expect("sum", patternSum(500000+i), fmt.Sprintf("%x", sum.Sum(nil))))
						}()
					}
					all.Wait()
					if err := errors.Join(errs...); err != nil {
						return err
					}
				}
				return nil
			})
		})
		check(name+": 300 one after the other", func() error {
			return forwarding(s, dialer, 7, func(address string) error {
				for range 300 {
					var got bytes.Buffer
					if err := talk(address, 10, &got); err != nil {
						return err
					}
				}
				return nil
			})
		})
		check(name+": nobody listens", func() error {
			return forwarding(s, dialer, 81, func(address string) error {
				var got bytes.Buffer
				// The client hangs up, in order or not.
				talk(address, 10, &got)
				return expect("text", "", got.String())
			})
		})
	}
	check("port-forward spdy: the error is told", func() error {
		answer, err := s.ask(request{Kind: "portforward"})
		if err != nil {
			return err
		}
		address, err := url.Parse(answer)
		if err != nil {
			return err
		}
		dialer, err := spdyDialer(address)
		if err != nil {
			return err
		}
		conn, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
		if err != nil {
			return err
		}
		defer conn.Close()
		headers := http.Header{}
		headers.Set("streamType", "error")
		headers.Set("port", "81")
		headers.Set("requestID", "0")
		failure, err := conn.CreateStream(headers)
		if err != nil {
			return err
		}
		headers.Set("streamType", "data")
		if _, err := conn.CreateStream(headers); err != nil {
			return err
		}
		text, err := io.ReadAll(failure)
		if !strings.Contains(string(text), "nothing listens on port 81") {
			err = errors.Join(err, fmt.Errorf("got %q", text))
		}
		return err
	})
}
