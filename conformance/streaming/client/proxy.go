package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"

	"k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/client-go/tools/remotecommand"
)

type complain struct{}

func (complain) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusBadGateway)
}

// throughKubelet puts the proxy in between by which kubelet passes streams on.
func throughKubelet(c client) client {
	direct := c.executor
	c.proxied = true
	c.name += " through kubelet's proxy"
	c.executor = func(address string) (remotecommand.Executor, error) {
		location, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		// Ends with this program.
		kubelet := httptest.NewServer(proxy.NewUpgradeAwareHandler(location, nil, false, true, complain{}))
		return direct(kubelet.URL)
	}
	return c
}
