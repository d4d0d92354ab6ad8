// Command go-client asks for a URL. With `system` in front of it, no variable says where roots are.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	arguments := os.Args[1:]
	if arguments[0] == "system" {
		os.Unsetenv("SSL_CERT_FILE")
		os.Unsetenv("SSL_CERT_DIR")
		arguments = arguments[1:]
	}
	answer, err := http.Get(arguments[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	io.Copy(os.Stdout, answer.Body)
}
