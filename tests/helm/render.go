// Renders a chart with the template engine that Helm uses, where Helm itself is not to be had: the functions that this
// project's chart calls, and no others, so that a template which needs more fails here.
//
//	go run render.go CHART VALUES.json RELEASE
//
// CHART is a directory. Values come as JSON, merged and complete. Prints all documents.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/template"
)

func try[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

// Line for each label of a map, an element of a list, or JSON, which is YAML too.
func toYaml(value any) string {
	encode := func(value any) string { return string(try(json.Marshal(value))) }
	switch value := value.(type) {
	case map[string]any:
		lines := []string{}
		for key, inner := range value {
			lines = append(lines, fmt.Sprintf("%s: %s", encode(key), encode(inner)))
		}
		return strings.Join(lines, "\n")
	case []any:
		lines := []string{}
		for _, inner := range value {
			lines = append(lines, "- "+encode(inner))
		}
		return strings.Join(lines, "\n")
	default:
		return encode(value)
	}
}

func main() {
	chart, release := os.Args[1], os.Args[3]
	var values map[string]any
	if err := json.Unmarshal(try(os.ReadFile(os.Args[2])), &values); err != nil {
		try(0, err)
	}
	all := template.New("chart").Option("missingkey=error")
	all.Funcs(template.FuncMap{
		"include": func(name string, data any) (string, error) {
			var out strings.Builder
			err := all.ExecuteTemplate(&out, name, data)
			return out.String(), err
		},
		"nindent": func(spaces int, text string) string {
			indent := strings.Repeat(" ", spaces)
			return "\n" + indent + strings.ReplaceAll(text, "\n", "\n"+indent)
		},
		"quote":  func(value any) string { return string(try(json.Marshal(fmt.Sprint(value)))) },
		"dir":    path.Dir,
		"int64":  func(value float64) int64 { return int64(value) },
		"toYaml": toYaml,
	})
	files := try(filepath.Glob(filepath.Join(chart, "templates", "*")))
	for _, file := range files {
		try(all.New(filepath.Base(file)).Parse(string(try(os.ReadFile(file)))))
	}
	data := map[string]any{
		"Values":  values,
		"Release": map[string]any{"Name": release, "Namespace": "default", "Service": "Helm"},
		"Chart":   map[string]any{"Name": filepath.Base(chart), "AppVersion": "0.1.0"},
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".yaml") {
			fmt.Println("---")
			if err := all.ExecuteTemplate(os.Stdout, filepath.Base(file), data); err != nil {
				try(0, err)
			}
			fmt.Println()
		}
	}
}
