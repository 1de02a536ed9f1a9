package lines

import (
	"bytes"
	"encoding/binary"
)

// A keyset tells which keys cannot have come before in a list of KeyValues, so that only for the
// others the list has to be searched.
type keyset struct {
	seen  [4]uint64
	count int
}

// add takes in the key with that hash and returns whether it is certainly the first of its kind.
func (k *keyset) add(h uint) (first bool) {
	word, bit := &k.seen[h>>6&3], uint64(1)<<(h&63)
	first = *word&bit == 0
	*word |= bit
	k.count++
	return first
}

// remove takes the entry with that key out of the list dst[base:], if there is one.
func (k *keyset) remove(dst []byte, base int, key []byte) (out []byte, removed int) {
	start, end := find(dst, base, key)
	if end == 0 {
		return dst, 0
	}
	k.count--
	return append(dst[:start], dst[end:]...), 1
}

// find returns where the entry with that key is, or zeros. The entries are of our own making.
func find(list []byte, base int, key []byte) (start, end int) {
	for at := base; at < len(list); {
		content, n := binary.Uvarint(list[at+1:])
		inner := at + 1 + n
		next := inner + int(content)
		size, n := binary.Uvarint(list[inner+1:])
		if int(size) == len(key) && bytes.Equal(list[inner+1+n:][:size], key) {
			return at, next
		}
		at = next
	}
	return 0, 0
}
