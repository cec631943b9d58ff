package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

const findPatient = `SELECT uid::text FROM patient WHERE org_id = $1 AND (number = $2 OR uid::text = $2) AND erased_at IS NULL AND restricted_at IS NULL LIMIT 2`

// OperatorName is the name of whoever sits at the console, in the audit trail.
const OperatorName = "operator"

// FindPatient finds a patient by organisation and by number or id, and returns the actor as whom the operator reads their
// record. Nobody, two of them, or somebody whose record is closed is fault.NotFound.
func (o Operator) FindPatient(ctx context.Context, organisation, patient string) (account.Actor, vital.UID, error) {
	who := account.Actor{Name: OperatorName, Role: account.Administrator}
	var uids []vital.UID
	err := o.inNamed(ctx, organisation, func(tx pgx.Tx, operator account.Actor, _ time.Time) error {
		who.Org = operator.Org
		rows, err := tx.Query(ctx, findPatient, int32(who.Org), patient)
		if err != nil {
			return fmt.Errorf("find the patient: %w", err)
		}
		if uids, err = pgx.CollectRows(rows, pgx.RowTo[vital.UID]); err != nil {
			return fmt.Errorf("find the patient: %w", err)
		}
		if len(uids) != 1 {
			return fault.New(fault.NotFound, "the organisation %q has no patient %q", organisation, patient)
		}
		return nil
	})
	if err != nil {
		return account.Actor{}, "", err
	}
	return who, uids[0], nil
}

// signed is the actor as an audit row names them: the operator is no member of staff.
func signed(actor account.Actor) account.Actor {
	if actor.Staff == 0 && actor.Role == account.Administrator {
		actor.Role = ""
	}
	return actor
}
