package consent

import (
	"crypto/rand"
	"embed"
	"math/big"
	"strings"
)

//go:embed words/*.txt
var lists embed.FS

// wordList returns the plain words of a language; English where there is none.
func wordList(language string) []string {
	b, err := lists.ReadFile("words/" + language + ".txt")
	if err != nil {
		b, err = lists.ReadFile("words/en.txt")
		if err != nil {
			panic(err) // embedded
		}
	}
	return strings.Fields(string(b))
}

// Words picks four plain words of a language, to be read out over the telephone. More than 2^32
// combinations, no word twice.
func Words(language string) string {
	list := wordList(language)
	var out []string
	for len(out) < 4 {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(list))))
		if err != nil {
			panic(err) // crypto/rand never fails
		}
		w := strings.ToUpper(list[n.Int64()])
		if !strings.Contains(" "+strings.Join(out, " ")+" ", " "+w+" ") {
			out = append(out, w)
		}
	}
	return strings.Join(out, " ")
}
