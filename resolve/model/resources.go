package model

import (
	"slices"
	"strings"
)

// Resource is something outside of the model that it calls when it predicts, as MLflow records it
// since 2.12.
type Resource struct {
	Kind string // "databricks.serving_endpoint"
	Name string // "databricks-mixtral-8x7b-instruct"
	From Value  // where the name is written
}

// Resources are the resources that MLmodel records, in the order of the file.
func (m *Model) Resources() []Resource {
	var out []Resource
	for _, f := range m.Other {
		key, ok := strings.CutPrefix(f.Key, "resources.")
		parts := strings.Split(key, ".")
		if !ok || parts[len(parts)-1] != "name" || len(parts) < 3 || f.Value.Text == "" {
			continue
		}
		// What stands before the name is the kind and the number in its list.
		out = append(out, Resource{Kind: strings.Join(parts[:len(parts)-2], "."), Name: f.Value.Text, From: f.Value})
	}
	return out
}

// AuthPolicy is who the model acts as towards its resources, as MLflow records it since 2.21: the
// scalars below auth_policy, their keys without the numbers of lists, sorted by key and value.
func (m *Model) AuthPolicy() []Field {
	var out []Field
	for _, f := range m.Other {
		key, ok := strings.CutPrefix(f.Key, "auth_policy.")
		if !ok || f.Value.Text == "" {
			continue
		}
		parts := slices.DeleteFunc(strings.Split(key, "."), isNumber)
		out = append(out, Field{Key: strings.Join(parts, "."), Value: f.Value})
	}
	slices.SortStableFunc(out, func(a, b Field) int {
		return strings.Compare(a.Key+"\x00"+a.Value.Text, b.Key+"\x00"+b.Value.Text)
	})
	return out
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
