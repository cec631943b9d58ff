package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
)

// Farewell returns what a browser is told whose token was of somebody who was erased. See signin.Farewells.
func (a *App) Farewell(ctx context.Context, tokenHash []byte) (account.Farewell, error) {
	var f account.Farewell
	err := a.pool.QueryRow(ctx, `SELECT number, CASE asked WHEN 'patient' THEN 'patient' WHEN 'guardian' THEN 'caregiver' ELSE '' END, at FROM find_farewell($1)`, tokenHash).Scan(&f.Number, &f.Asked, &f.At)
	if errors.Is(err, pgx.ErrNoRows) {
		return f, nil
	}
	if err != nil {
		return f, classify(fmt.Errorf("look for what became of a record: %w", err))
	}
	f.At = f.At.UTC()
	return f, nil
}

// ForgetFarewells takes away the older ones. See safe.EraseStore.
func (w *Work) ForgetFarewells(ctx context.Context, before time.Time) error {
	if _, err := w.pool.Exec(ctx, `DELETE FROM farewell WHERE at < $1`, before); err != nil {
		return classify(fmt.Errorf("forget what browsers of erased people were told: %w", err))
	}
	return nil
}
