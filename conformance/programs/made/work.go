// A static program of Go: goroutines, channels, a server and its clients, files, children.
package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	scale := must(strconv.Atoi(os.Args[1]))
	numbers, sums := make(chan int), make(chan int)
	for i := 0; i < 1000; i++ {
		go func() {
			sum := 0
			for n := range numbers {
				sum += n
				runtime.Gosched()
			}
			sums <- sum
		}()
	}
	for i := 0; i < 20000; i++ {
		numbers <- i
	}
	close(numbers)
	all := 0
	for i := 0; i < 1000; i++ {
		all += <-sums
	}
	fmt.Println("channels", all)

	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	var served atomic.Int64
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := must(io.ReadAll(r.Body))
		served.Add(1)
		fmt.Fprintf(w, "%s %x", r.URL.Path, sha256.Sum256(body))
	})}
	go server.Serve(listener)
	var group sync.WaitGroup
	answers := make([]string, 50+scale)
	for i := range answers {
		group.Add(1)
		go func() {
			defer group.Done()
			url := fmt.Sprintf("http://%s/%d", listener.Addr(), i)
			answer := must(http.Post(url, "text/plain", strings.NewReader(strings.Repeat("x", i*100))))
			answers[i] = string(must(io.ReadAll(answer.Body)))
			answer.Body.Close()
		}()
	}
	group.Wait()
	sort.Strings(answers)
	fmt.Printf("served %d %x\n", served.Load(), sha256.Sum256([]byte(strings.Join(answers, ""))))
	server.Shutdown(context.Background())

	for i := 0; i < 200; i++ {
		path := fmt.Sprintf("go/%d/%d", i%7, i)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(path), 0o600); err != nil {
			panic(err)
		}
	}
	files := 0
	filepath.WalkDir("go", func(_ string, entry os.DirEntry, _ error) error {
		if !entry.IsDir() {
			files++
		}
		return nil
	})
	fmt.Println("files", files, os.RemoveAll("go"))

	out, err := exec.Command("sh", "-c", "cat; exit 3").Output()
	fmt.Printf("%q %v\n", out, err)
	limited, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	fmt.Println(exec.CommandContext(limited, "sleep", "30").Run())
	cancel()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-signals)
	begin, ticker := time.Now(), time.NewTicker(10*time.Millisecond)
	for i := 0; i < 5; i++ {
		<-ticker.C
	}
	fmt.Println("ticks", time.Since(begin) >= 49*time.Millisecond)
	var garbage [][]byte
	for i := 0; i < 20000; i++ {
		garbage = append(garbage, make([]byte, 4096))
		if len(garbage) > 1000 {
			garbage = nil
		}
	}
	runtime.GC()
	names := []string{}
	for _, one := range must(net.Interfaces()) {
		names = append(names, one.Name)
	}
	fmt.Println(names, runtime.GOOS, runtime.GOARCH)
	defer func() { fmt.Println("recovered:", recover()) }()
	var nothing *http.Server
	fmt.Println(nothing.Addr)
}
