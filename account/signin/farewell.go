package signin

import (
	"context"

	"hale/account"
)

// Farewells knows which tokens were of somebody who was erased.
type Farewells interface {
	// Farewell returns the zero value for a token that was nobody's, or is somebody's still.
	Farewell(ctx context.Context, tokenHash []byte) (account.Farewell, error)
}

// Farewell returns what became of the record of whoever was signed in by what is shown, as for SessionOf, when it was erased.
func (s *Service) Farewell(ctx context.Context, shown string) (account.Farewell, error) {
	token, _, ok := hashesOf(shown)
	if !ok || isKey(shown) {
		return account.Farewell{}, nil
	}
	return s.record.Farewell(ctx, token)
}
