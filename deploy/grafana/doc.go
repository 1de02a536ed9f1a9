// Package grafana makes the dashboards that Grafana reads, dashboards/*.json,
// of src/*.yaml, which people read and write: a panel is a title, a place and
// its query. What Grafana needs beside that is written here, once.
//
// It also does to a query what Grafana and its ClickHouse data source do before
// they send it, so that tests can run what a panel asks.
//
// After a change run make golden; a test fails until that is done.
package grafana
