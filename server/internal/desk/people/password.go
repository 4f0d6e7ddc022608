package people

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/crypto/argon2"
)

// Argon2id with 19 MiB, two passes and one lane, OWASP's first choice for it: about 40 ms of one core here.
// The parameters stand in each hash, so that they can be raised later.
const (
	argonTime   = 2
	argonMemory = 19 << 10 // KiB
	argonLanes  = 1
	argonKey    = 32
	argonSalt   = 16
)

// hashingSlots lets GOMAXPROCS hashes run at once: more would only make all of them slower and
// take 19 MiB each.
func hashingSlots() chan struct{} { return make(chan struct{}, runtime.GOMAXPROCS(0)) }

func (p *People) hashing1(ctx context.Context, f func()) error {
	select {
	case p.hashing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.hashing }()
	f()
	return nil
}

func (p *People) hashPassword(ctx context.Context, password string) (encoded string, err error) {
	salt := make([]byte, argonSalt)
	rand.Read(salt)
	err = p.hashing1(ctx, func() { encoded = encodePassword(password, salt) })
	return encoded, err
}

func encodePassword(password string, salt []byte) string {
	key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonLanes, argonKey)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes, b64(salt), b64(key))
}

// nobody is a hash that no password has.
var nobody = sync.OnceValue(func() string {
	secret := make([]byte, 32)
	rand.Read(secret)
	return encodePassword(string(secret), secret[:argonSalt])
})

func (p *People) checkPassword(ctx context.Context, password, encoded string) (ok bool, err error) {
	parts := strings.Split(encoded, "$")
	var version, memory, time, lanes int
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, fmt.Errorf("a stored password hash is of an unknown kind")
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &time, &lanes); err != nil || version != argon2.Version {
		return false, fmt.Errorf("a stored password hash has unknown parameters")
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(want) == 0 || time < 1 || memory < 8 || lanes < 1 || lanes > 255 {
		return false, fmt.Errorf("a stored password hash was changed")
	}
	err = p.hashing1(ctx, func() {
		got := argon2.IDKey([]byte(password), salt, uint32(time), uint32(memory), uint8(lanes), uint32(len(want)))
		ok = subtle.ConstantTimeCompare(got, want) == 1
	})
	return ok, err
}
