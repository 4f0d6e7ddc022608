package server

import (
	_ "github.com/microcosm-cc/bluemonday"
)
