package terminal

func start(Options) (pty, error) { return nil, ErrNotAvailable }
