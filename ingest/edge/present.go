package edge

import "hale/vital"

// note tells that the device came by this session, or left with it. The edge's own canary is nobody's device.
func (s *session) note(kind vital.StatusKind, epoch int64) {
	if d := s.device.Load(); d != nil && s.canary == "" && s.server.cfg.Noted != nil {
		s.server.cfg.Noted(d, kind, epoch, s.server.now())
	}
}
