// A peer for comparisons: the four families of the guide from a journal, with client_golang and encoding/json, as
// one would write it in an afternoon.
//
//	counter JOURNAL            counts and prints the exposition
//	counter JOURNAL ADDRESS    counts, then serves /metrics over HTTPS with a certificate of its own
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"math/big"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
)

type line struct {
	Event      string `json:"event"`
	ID         string `json:"id"`
	Name       string `json:"name"`
	Mode       string `json:"mode"`
	Trigger    string `json:"trigger"`
	State      string `json:"state"`
	Error      bool   `json:"error"`
	ParentID   string `json:"parent_id"`
	Source     string `json:"source"`
	PublicKey  string `json:"public_key"`
	RemoteAddr string `json:"remote_addr"`
	Changed    *int64 `json:"changed"`
	Removed    *int64 `json:"removed"`
}

type families struct {
	commands *prometheus.CounterVec
	sources  *prometheus.CounterVec
	changes  *prometheus.GaugeVec
	shells   *prometheus.GaugeVec
}

func newFamilies(registry *prometheus.Registry) *families {
	all := &families{
		commands: prometheus.NewCounterVec(
			prometheus.CounterOpts{Name: "etcha_commands_total", Help: "Commands run."},
			[]string{"error", "id", "mode", "parent_id", "public_key", "remote_addr", "source"}),
		sources: prometheus.NewCounterVec(
			prometheus.CounterOpts{Name: "etcha_sources_total", Help: "Runs of Sources."},
			[]string{"error", "name", "public_key", "remote_addr", "trigger"}),
		changes: prometheus.NewGaugeVec(
			prometheus.GaugeOpts{Name: "etcha_sources_commands", Help: "Commands of the latest run."},
			[]string{"mode", "name", "public_key", "remote_addr", "trigger"}),
		shells: prometheus.NewGaugeVec(
			prometheus.GaugeOpts{Name: "etcha_sources_shells", Help: "Whether a shell is open."},
			[]string{"name", "public_key", "remote_addr"}),
	}
	registry.MustRegister(all.commands, all.sources, all.changes, all.shells)
	return all
}

func flag(is bool) string {
	if is {
		return "1"
	}
	return "0"
}

func (all *families) count(l *line) {
	switch l.Event {
	case "command":
		all.commands.WithLabelValues(
			flag(l.Error), l.ID, l.Mode, l.ParentID, l.PublicKey, l.RemoteAddr, l.Source).Inc()
	case "source":
		all.sources.WithLabelValues(flag(l.Error), l.Name, l.PublicKey, l.RemoteAddr, l.Trigger).Inc()
		if l.Changed != nil {
			all.changes.WithLabelValues("changed", l.Name, l.PublicKey, l.RemoteAddr, l.Trigger).Set(float64(*l.Changed))
		}
		if l.Removed != nil {
			all.changes.WithLabelValues("remove", l.Name, l.PublicKey, l.RemoteAddr, l.Trigger).Set(float64(*l.Removed))
		}
	case "shell":
		open := 0.0
		if l.State == "opened" {
			open = 1
		}
		all.shells.WithLabelValues(l.Name, l.PublicKey, l.RemoteAddr).Set(open)
	}
}

func (all *families) read(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 256*1024), 256*1024)
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) == nil {
			all.count(&l)
		}
	}
	return lines.Err()
}

func show(registry *prometheus.Registry) error {
	gathered, err := registry.Gather()
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	for _, family := range gathered {
		if _, err := expfmt.MetricFamilyToText(out, family); err != nil {
			return err
		}
	}
	return out.Flush()
}

func certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

func serve(registry *prometheus.Registry, address string) error {
	pair, err := certificate()
	if err != nil {
		return err
	}
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Addr: address, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}}
	return server.ListenAndServeTLS("", "")
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: counter JOURNAL [ADDRESS]")
		os.Exit(2)
	}
	registry := prometheus.NewRegistry()
	all := newFamilies(registry)
	err := all.read(os.Args[1])
	if err == nil && len(os.Args) == 2 {
		err = show(registry)
	} else if err == nil {
		err = serve(registry, os.Args[2])
	}
	if err != nil {
		log.Fatal(err)
	}
}
