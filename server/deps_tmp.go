package server
import (
 _ "github.com/alecthomas/kong"
 _ "github.com/chromedp/chromedp"
 _ "github.com/coder/websocket"
 _ "github.com/danielgtaylor/huma/v2"
 _ "github.com/danielgtaylor/huma/v2/adapters/humago"
 _ "github.com/jackc/pgx/v5/stdlib"
 _ "github.com/pquerna/otp/totp"
 _ "github.com/pressly/goose/v3"
 _ "github.com/traybell/traybell/shared/catalogue"
 _ "golang.org/x/crypto/argon2"
 _ "golang.org/x/time/rate"
 _ "golang.org/x/sys/unix"
 _ "modernc.org/sqlite"
)
