package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestZZRef(t *testing.T) {
	r := newRecord(t)
	for _, s := range query(t, r, `SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT attisdropped
 WHERE c.relname IN (SELECT table_name FROM erasure_rule) AND c.relkind IN ('r','p') AND coalesce(a.attstattarget, -1) <> 0 AND a.atttypid::regtype::text IN ('text','jsonb','bytea','uuid','json','date') ORDER BY 1`, pgx.RowTo[string]) {
		t.Log(s)
	}
	for _, s := range query(t, r, `SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indexprs IS NOT NULL`, pgx.RowTo[string]) {
		t.Log(s)
	}
}
