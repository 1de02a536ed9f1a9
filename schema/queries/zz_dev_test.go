package queries

import "os"

func init() {
	if a := os.Getenv("DEVADDR"); a != "" {
		dataset.once.Do(func() {
			dataset.db = &database{addr: a, name: "queries"}
			dataset.db.params, dataset.err = parameters(dataset.db)
		})
	}
}
