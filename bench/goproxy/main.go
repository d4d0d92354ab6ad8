// A transparent proxy on github.com/elazarl/goproxy that verifies upstreams and sets one header: what its own example
// of a transparent proxy does, with the name taken from the ClientHello by crypto/tls itself.
//
// goproxy LISTEN_ADDRESS CA_CERTIFICATE CA_KEY UPSTREAM_ROOTS AUTHORIZATION
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"

	"github.com/elazarl/goproxy"
)

func main() {
	authority, err := tls.LoadX509KeyPair(os.Args[2], os.Args[3])
	check(err)
	authority.Leaf, err = x509.ParseCertificate(authority.Certificate[0])
	check(err)
	bundle, err := os.ReadFile(os.Args[4])
	check(err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		log.Fatal("no upstream roots")
	}

	proxy := goproxy.NewProxyHttpServer()
	proxy.Logger = log.New(io.Discard, "", 0)
	proxy.CertStore = &certificates{}
	proxy.Tr = &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(64)},
		MaxIdleConnsPerHost: 256,
		DisableCompression:  true,
	}
	intercept := &goproxy.ConnectAction{Action: goproxy.ConnectMitm, TLSConfig: goproxy.TLSConfigFromCA(&authority)}
	proxy.OnRequest().HandleConnectFunc(func(host string, _ *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) {
		return intercept, host
	})
	proxy.OnRequest().DoFunc(func(request *http.Request, _ *goproxy.ProxyCtx) (*http.Request, *http.Response) {
		request.Header.Set("Authorization", os.Args[5])
		return request, nil
	})

	listener, err := net.Listen("tcp", os.Args[1])
	check(err)
	for {
		connection, err := listener.Accept()
		check(err)
		go serve(proxy, connection)
	}
}

func serve(proxy *goproxy.ProxyHttpServer, connection net.Conn) {
	name, first := serverName(connection)
	if name == "" {
		connection.Close()
		return
	}
	host := net.JoinHostPort(name, "443")
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: host, Host: host}, Host: host,
		Header: http.Header{}, RemoteAddr: connection.RemoteAddr().String()}
	proxy.ServeHTTP(&hijacked{replayed{connection, io.MultiReader(first, connection)}}, request)
}

var errSeen = errors.New("seen")

// serverName reads the ClientHello; what it has read comes back, to be read again.
func serverName(connection net.Conn) (name string, first *bytes.Buffer) {
	first = &bytes.Buffer{}
	peek := replayed{connection, io.TeeReader(connection, first)}
	_ = tls.Server(silent{peek}, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		name = hello.ServerName
		return nil, errSeen
	}}).Handshake()
	return name, first
}

type replayed struct {
	net.Conn
	reader io.Reader
}

func (it replayed) Read(into []byte) (int, error) { return it.reader.Read(into) }

type silent struct{ replayed }

func (silent) Write(from []byte) (int, error) { return len(from), nil }

// hijacked gives the connection to goproxy and swallows the answer to a CONNECT that nobody sent.
type hijacked struct{ replayed }

func (*hijacked) Header() http.Header { return http.Header{} }
func (*hijacked) WriteHeader(int)     {}
func (it *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	connection := &withoutConnect{replayed: it.replayed}
	return connection, bufio.NewReadWriter(bufio.NewReader(connection), bufio.NewWriter(connection)), nil
}

type withoutConnect struct {
	replayed
	answered bool
}

func (it *withoutConnect) Write(from []byte) (int, error) {
	if !it.answered && bytes.HasPrefix(from, []byte("HTTP/1.")) {
		it.answered = true
		return len(from), nil
	}
	return it.replayed.Conn.Write(from)
}

// certificates caches one minted certificate a name, as goproxy's documentation advises.
type certificates struct{ known sync.Map }

func (it *certificates) Fetch(name string, mint func() (*tls.Certificate, error)) (*tls.Certificate, error) {
	if certificate, ok := it.known.Load(name); ok {
		return certificate.(*tls.Certificate), nil
	}
	certificate, err := mint()
	if err == nil {
		it.known.Store(name, certificate)
	}
	return certificate, err
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
