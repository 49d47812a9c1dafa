// Command promql reads one query a line (with \n for line breaks) and prints what Prometheus' own parser has against it.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<20)
	prometheus := parser.NewParser(parser.Options{})
	refused := 0
	for lines.Scan() {
		query := strings.ReplaceAll(lines.Text(), `\n`, "\n")
		if _, err := prometheus.ParseExpr(query); err != nil {
			refused++
			fmt.Printf("%s: %s\n", lines.Text(), err)
		}
	}
	if refused > 0 {
		os.Exit(1)
	}
}
