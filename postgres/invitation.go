package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
)

const findInvitation = `SELECT org_id, organisation, staff_id, login, name FROM find_invitation($1, $2)`

// Invitation returns whose code this is; fault.NotFound when it is nobody's, used up or over.
func (a *App) Invitation(ctx context.Context, codeHash []byte, now time.Time) (account.Newcomer, error) {
	var who account.Newcomer
	err := a.pool.QueryRow(ctx, findInvitation, codeHash, now).Scan(&who.Org, &who.Organisation, &who.Staff, &who.Login, &who.Name)
	if errors.Is(err, pgx.ErrNoRows) {
		return who, errNoInvitation()
	}
	if err != nil {
		return who, classify(fmt.Errorf("find an invitation: %w", err))
	}
	return who, nil
}

func errNoInvitation() error { return fault.New(fault.NotFound, "there is no such invitation") }

// AcceptInvitation sets the first password and uses the code up, with the audit row; of two who do so at once, one gets
// fault.NotFound.
func (a *App) AcceptInvitation(ctx context.Context, codeHash []byte, who account.Newcomer, passwordHash string, now time.Time) error {
	return a.inOrg(ctx, who.Org, func(tx pgx.Tx, _ time.Time) error {
		var done bool
		if err := tx.QueryRow(ctx, `SELECT accept_invitation($1, $2, $3)`, codeHash, passwordHash, now).Scan(&done); err != nil {
			return fmt.Errorf("accept an invitation: %w", err)
		}
		if !done {
			return errNoInvitation()
		}
		return writeAudit(ctx, tx, account.Audit{Org: who.Org, At: now, Actor: who.Actor, Action: "accept invitation", Object: "staff " + who.Login})
	})
}
