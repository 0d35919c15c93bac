package objects

// Bits are read as small numbers, which decide what a random test does. At the end they are all zero.
type Bits []byte

// Next returns the next number, which is less than n.
func (b *Bits) Next(n int) int {
	if len(*b) == 0 {
		return 0
	}
	v := int((*b)[0])
	*b = (*b)[1:]
	return v % n
}
