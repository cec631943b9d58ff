package pgtest

import (
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Holding returns the tables, partitions too, of the database at an address that hold a text anywhere: in a text, in JSON, in bytes,
// in an array.
func Holding(tb testing.TB, adminURL, needle string) []string {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), adminURL)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close(tb.Context()) }()
	rows, err := conn.Query(tb.Context(), `SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1`)
	if err != nil {
		tb.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		tb.Fatal(err)
	}
	var found []string
	for _, name := range names {
		var n int
		query := fmt.Sprintf(`SELECT count(*) FROM %s t WHERE strpos(to_jsonb(t)::text, $1) > 0 OR strpos(to_jsonb(t)::text, $2) > 0`, pgx.Identifier{name}.Sanitize())
		if err := conn.QueryRow(tb.Context(), query, needle, hex.EncodeToString([]byte(needle))).Scan(&n); err != nil {
			tb.Fatal(err)
		}
		if n > 0 {
			found = append(found, name)
		}
	}
	return found
}
