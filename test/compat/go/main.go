// Command go-client asks for URL, its last argument, once for each argument in front of it, trusting what that says:
// `system` (what Go finds where no variable tells), `default` (a variable tells) or the path of a bundle, and only that.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	last := len(os.Args) - 1
	for _, roots := range os.Args[1:last] {
		if err := get(roots, os.Args[last]); err != nil {
			fmt.Fprintln(os.Stderr, roots, err)
			os.Exit(1)
		}
	}
}

func get(roots, url string) error {
	settings := &tls.Config{}
	switch roots {
	case "default":
	case "system": // the first in a process: Go looks once
		os.Unsetenv("SSL_CERT_FILE")
	default:
		bundle, err := os.ReadFile(roots)
		if err != nil {
			return err
		}
		settings.RootCAs = x509.NewCertPool()
		settings.RootCAs.AppendCertsFromPEM(bundle)
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: settings, ForceAttemptHTTP2: true}}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}
