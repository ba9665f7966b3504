// streaming-client drives a streaming server with the clients of Kubernetes'
// own library: streaming-client SERVER starts that program, asks it for
// addresses, and checks what comes over them.
package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"
)

var passed, failed int

func check(name string, run func() error) {
	start := time.Now()
	done := make(chan error, 1)
	go func() { done <- run() }()
	var err error
	select {
	case err = <-done:
	case <-time.After(2 * time.Minute):
		err = fmt.Errorf("time-out")
	}
	took := time.Since(start).Round(time.Millisecond)
	if err != nil {
		failed++
		text := strings.ReplaceAll(err.Error(), "\n", "; ")
		fmt.Printf("not ok - %s: %.300s (%v)\n", name, text, took)
		return
	}
	passed++
	fmt.Printf("ok - %s (%v)\n", name, took)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Println("usage: streaming-client SERVER")
		os.Exit(2)
	}
	// Clients that vanish are part of the tests; what the library says of
	// them is not.
	klog.SetLogger(logr.Discard())
	runtime.ErrorHandlers = nil
	server, err := start(os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	commands(server)
	rawWebSocket(server)
	portForwards(server)
	check("nothing runs on", func() error { return server.waitIdle(15 * time.Second) })
	server.stop()
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}
