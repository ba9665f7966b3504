// Package peers names what is built here as tests, so that go.sum has it.
package peers

import _ "sigs.k8s.io/cri-tools/pkg/validate"
