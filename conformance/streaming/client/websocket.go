package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// channels speaks the channel protocols by hand: no library has them all.
type channels struct {
	conn   *websocket.Conn
	base64 bool
}

func dialChannels(address, protocol string) (*channels, error) {
	dialer := websocket.Dialer{}
	if protocol != "" {
		dialer.Subprotocols = []string{protocol}
	}
	conn, _, err := dialer.Dial(strings.Replace(address, "http", "ws", 1), nil)
	if err != nil {
		return nil, err
	}
	if conn.Subprotocol() != protocol {
		return nil, fmt.Errorf("agreed on %q", conn.Subprotocol())
	}
	return &channels{conn, strings.Contains(protocol, "base64")}, nil
}

func (c *channels) send(channel byte, data []byte) error {
	if c.base64 {
		text := string('0'+channel) + base64.StdEncoding.EncodeToString(data)
		return c.conn.WriteMessage(websocket.TextMessage, []byte(text))
	}
	return c.conn.WriteMessage(websocket.BinaryMessage, append([]byte{channel}, data...))
}

// receive collects what comes on each channel until the server closes.
func (c *channels) receive(into map[byte]io.Writer) error {
	for {
		_, message, err := c.conn.ReadMessage()
		if websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			return nil
		}
		if err != nil {
			return err
		}
		channel, data := message[0], message[1:]
		if c.base64 {
			channel -= '0'
			if data, err = base64.StdEncoding.DecodeString(string(data)); err != nil {
				return err
			}
		}
		if writer, ok := into[channel]; ok {
			writer.Write(data)
		} else if len(data) > 0 {
			return fmt.Errorf("%d bytes on channel %d", len(data), channel)
		}
	}
}

func rawWebSocket(s *server) {
	for _, protocol := range []string{"", "channel.k8s.io", "base64.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "v5.channel.k8s.io"} {
		name := fmt.Sprintf("websocket %q by hand", protocol)
		check(name+": an exec", func() error {
			address, err := s.ask(request{Kind: "exec", Command: []string{"yield", "5000000"}, Stdout: true, Stderr: true})
			if err != nil {
				return err
			}
			c, err := dialChannels(address, protocol)
			if err != nil {
				return err
			}
			defer c.conn.Close()
			sum := sha256.New()
			var stderr, last bytes.Buffer
			err = c.receive(map[byte]io.Writer{1: sum, 2: &stderr, 3: &last})
			err = errors.Join(err, expect("sum", stderr.String(), fmt.Sprintf("%x", sum.Sum(nil))))
			if !strings.HasPrefix(protocol, "v") {
				return errors.Join(err, expect("status", "", last.String()))
			}
			var status struct{ Status string }
			return errors.Join(err, json.Unmarshal(last.Bytes(), &status), expect("status", "Success", status.Status))
		})
		check(name+": exit code", func() error {
			address, err := s.ask(request{Kind: "exec", Command: []string{"exit", "42"}, Stdout: true})
			if err != nil {
				return err
			}
			c, err := dialChannels(address, protocol)
			if err != nil {
				return err
			}
			defer c.conn.Close()
			var last bytes.Buffer
			err = c.receive(map[byte]io.Writer{3: &last})
			if !strings.HasPrefix(protocol, "v") {
				return errors.Join(err, expect("error", "command terminated with non-zero exit code: exit status 42", last.String()))
			}
			var status metav1.Status
			if err := errors.Join(err, json.Unmarshal(last.Bytes(), &status)); err != nil {
				return err
			}
			if status.Reason != "NonZeroExitCode" || len(status.Details.Causes) != 1 || status.Details.Causes[0].Message != "42" {
				return fmt.Errorf("got %s", last.String())
			}
			return nil
		})
		check(name+": input and its echo", func() error {
			address, err := s.ask(request{Kind: "exec", Command: []string{"cat"}, Stdin: true, Stdout: true})
			if err != nil {
				return err
			}
			c, err := dialChannels(address, protocol)
			if err != nil {
				return err
			}
			defer c.conn.Close()
			go func() {
				for range 100 {
					c.send(0, bytes.Repeat([]byte("0123456789"), 1000))
				}
			}()
			got := 0
			for got < 1000000 {
				_, message, err := c.conn.ReadMessage()
				if err != nil {
					return err
				}
				data := message[1:]
				if c.base64 {
					if data, err = base64.StdEncoding.DecodeString(string(data)); err != nil {
						return err
					}
				}
				got += len(data)
			}
			if got != 1000000 {
				return fmt.Errorf("got %d bytes", got)
			}
			return nil
		})
	}
	for _, protocol := range []string{"", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"} {
		check(fmt.Sprintf("websocket %q by hand: port-forward", protocol), func() error {
			address, err := s.ask(request{Kind: "portforward", Ports: []int{13, 81}})
			if err != nil {
				return err
			}
			c, err := dialChannels(address, protocol)
			if err != nil {
				return err
			}
			defer c.conn.Close()
			got := map[byte]*bytes.Buffer{0: {}, 1: {}, 2: {}, 3: {}}
			into := map[byte]io.Writer{}
			for channel, buffer := range got {
				into[channel] = buffer
			}
			err = c.receive(into)
			if !strings.Contains(got[3].String(), "nothing listens on port 81") {
				err = errors.Join(err, fmt.Errorf("the error is %q", got[3].String()))
			}
			return errors.Join(err, expect("data", "\r\x00hello", got[0].String()), expect("error", "\r\x00", got[1].String()), expect("data", "Q\x00", got[2].String()))
		})
	}
}
