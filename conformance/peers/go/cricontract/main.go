// Prints the contract as k8s.io/cri-api has it, and calls a runtime as Go's
// clients do.
//
//	cricontract facts         fields, values of enumerations and calls, one a line
//	cricontract dial SOCKET   Version by each way to name a socket
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"sort"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/reflect/protoreflect"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func word(field protoreflect.FieldDescriptor) string {
	switch field.Kind() {
	case protoreflect.MessageKind:
		return string(field.Message().Name())
	case protoreflect.EnumKind:
		return string(field.Enum().Name())
	default:
		return field.Kind().String()
	}
}

func kind(field protoreflect.FieldDescriptor) string {
	switch {
	case field.IsMap():
		return fmt.Sprintf("map<%s, %s>", word(field.MapKey()), word(field.MapValue()))
	case field.IsList():
		return "repeated " + word(field)
	default:
		return word(field)
	}
}

func fields(file protoreflect.FileDescriptor) []string {
	var lines []string
	for i := range file.Messages().Len() {
		message := file.Messages().Get(i)
		for j := range message.Fields().Len() {
			field := message.Fields().Get(j)
			lines = append(lines, fmt.Sprintf("%s.%s\t%d\t%s", message.Name(), field.Name(), field.Number(), kind(field)))
		}
	}
	enums := func(prefix string, all protoreflect.EnumDescriptors) {
		for i := range all.Len() {
			values := all.Get(i).Values()
			for j := range values.Len() {
				lines = append(lines, fmt.Sprintf("%s%s.%s\t%d\tenum", prefix, all.Get(i).Name(), values.Get(j).Name(), values.Get(j).Number()))
			}
		}
	}
	enums("", file.Enums())
	for i := range file.Messages().Len() {
		message := file.Messages().Get(i)
		enums(string(message.Name())+".", message.Enums())
	}
	return lines
}

func calls(file protoreflect.FileDescriptor) []string {
	var lines []string
	for i := range file.Services().Len() {
		service := file.Services().Get(i)
		for j := range service.Methods().Len() {
			call := service.Methods().Get(j)
			lines = append(lines, fmt.Sprintf("%s.%s\t%s\t%s\t%t", service.Name(), call.Name(), call.Input().Name(), call.Output().Name(), call.IsStreamingServer()))
		}
	}
	return lines
}

func dial(socket string) error {
	direct := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	})
	ways := []struct {
		name, target string
		options      []grpc.DialOption
	}{
		{"a unix: target", "unix://" + socket, nil},
		{"a path, with a dialer", "passthrough:///" + socket, []grpc.DialOption{direct}},
		{"a path as authority", "unix://" + socket, []grpc.DialOption{grpc.WithAuthority(socket)}},
		{"localhost as authority", "passthrough:///" + socket, []grpc.DialOption{direct, grpc.WithAuthority("localhost")}},
	}
	for _, way := range ways {
		options := append(way.options, grpc.WithTransportCredentials(insecure.NewCredentials()))
		connection, err := grpc.NewClient(way.target, options...)
		if err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		client := runtimeapi.NewRuntimeServiceClient(connection)
		// Many on one connection, so that the tables of headers are used.
		for range 50 {
			version, err := client.Version(ctx, &runtimeapi.VersionRequest{})
			if err != nil {
				cancel()
				return fmt.Errorf("%s: %w", way.name, err)
			}
			if version.RuntimeName == "" {
				cancel()
				return fmt.Errorf("%s: the answer has no name", way.name)
			}
		}
		cancel()
		connection.Close()
		fmt.Printf("ok: %s\n", way.name)
	}
	return nil
}

func main() {
	file := (&runtimeapi.VersionRequest{}).ProtoReflect().Descriptor().ParentFile()
	if len(os.Args) == 3 && os.Args[1] == "dial" {
		if err := dial(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "cricontract:", err)
			os.Exit(1)
		}
		return
	}
	var lines []string
	switch {
	case len(os.Args) == 2 && os.Args[1] == "facts":
		lines = append(fields(file), calls(file)...)
	default:
		fmt.Fprintln(os.Stderr, "usage: cricontract facts | dial SOCKET")
		os.Exit(2)
	}
	sort.Strings(lines)
	fmt.Println(strings.Join(lines, "\n"))
}
