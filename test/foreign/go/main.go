// Checks what this product signs and proves with the programs of others: golang.org/x/mod/sumdb, transparency-dev/merkle
// and transparency-dev/formats. It reads one JSON object a line and answers each with "accepted" or "refused: <reason>".
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	tdlog "github.com/transparency-dev/formats/log"
	tdnote "github.com/transparency-dev/formats/note"
	tdproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type claim struct {
	Kind        string // "inclusion", "consistency" or "tile"
	Origin      string
	LogKey      string // the log's vkey
	CosignerKey string // the vkey of whoever cosigned the head
	Entry       []byte // inclusion: the leaf's content
	Proof       string // inclusion: a tlog-proof; consistency: the body of a call to a witness
	OldRoot     []byte // consistency: the root of the smaller tree
	Path        string // tile: the path, with the level, index and width that it stands for
	Level       int
	Index       int64
	Width       int
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var c claim
		err := json.Unmarshal(lines.Bytes(), &c)
		if err == nil {
			err = check(c)
		}
		if err != nil {
			fmt.Printf("refused: %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("accepted")
		}
	}
}

func check(c claim) error {
	switch c.Kind {
	case "inclusion":
		return checkInclusion(c)
	case "consistency":
		return checkConsistency(c)
	case "tile":
		return checkTile(c)
	}
	return fmt.Errorf("unknown kind %q", c.Kind)
}

// checkHead opens a signed tree head with both keys and returns it. Both signatures must be there and hold.
func checkHead(c claim, head []byte) (*tdlog.Checkpoint, error) {
	logKey, err := note.NewVerifier(c.LogKey)
	if err != nil {
		return nil, fmt.Errorf("log key: %w", err)
	}
	cosigner, err := tdnote.NewVerifierForCosignatureV1(c.CosignerKey)
	if err != nil {
		return nil, fmt.Errorf("cosigner key: %w", err)
	}
	parsed, rest, opened, err := tdlog.ParseCheckpoint(head, c.Origin, logKey, cosigner)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("the head has extension lines")
	}
	if len(opened.Sigs) != 2 || len(opened.UnverifiedSigs) != 0 {
		return nil, fmt.Errorf("%d signatures hold, %d are unknown", len(opened.Sigs), len(opened.UnverifiedSigs))
	}
	if _, err := tlog.ParseTree([]byte("go.sum database tree" + strings.TrimPrefix(opened.Text, c.Origin))); err != nil {
		return nil, fmt.Errorf("sumdb reads another head: %w", err)
	}
	return parsed, nil
}

func checkInclusion(c claim) error {
	var p tdproof.TLogProof
	if err := p.Unmarshal([]byte(c.Proof)); err != nil {
		return err
	}
	head, err := checkHead(c, p.Checkpoint)
	if err != nil {
		return err
	}
	var hashes [][]byte
	var record tlog.RecordProof
	for _, each := range p.Hashes {
		hashes = append(hashes, bytes.Clone(each[:]))
		record = append(record, tlog.Hash(each))
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(c.Entry)
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, head.Size, leaf, hashes, head.Hash); err != nil {
		return err
	}
	root := tlog.Hash(head.Hash)
	return tlog.CheckRecord(record, int64(head.Size), root, int64(p.Index), tlog.RecordHash(c.Entry))
}

func checkConsistency(c claim) error {
	top, head, found := strings.Cut(c.Proof, "\n\n")
	if !found {
		return fmt.Errorf("no empty line")
	}
	checked, err := checkHead(c, []byte(head))
	if err != nil {
		return err
	}
	lines := strings.Split(top, "\n")
	var oldSize uint64
	if _, err := fmt.Sscanf(lines[0], "old %d", &oldSize); err != nil {
		return err
	}
	var hashes [][]byte
	var tree tlog.TreeProof
	for _, line := range lines[1:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(hash) != 32 {
			return fmt.Errorf("no hash: %q", line)
		}
		hashes = append(hashes, hash)
		tree = append(tree, tlog.Hash(hash))
	}
	hasher := rfc6962.DefaultHasher
	if err := proof.VerifyConsistency(hasher, oldSize, checked.Size, hashes, c.OldRoot, checked.Hash); err != nil {
		return err
	}
	return tlog.CheckTree(tree, int64(checked.Size), tlog.Hash(checked.Hash), int64(oldSize), tlog.Hash(c.OldRoot))
}

// checkTile compares paths with sumdb's, which differ from C2SP's only by the tile height at their beginning.
func checkTile(c claim) error {
	expected := tlog.Tile{H: 8, L: c.Level, N: c.Index, W: c.Width}.Path()
	if got := strings.Replace(c.Path, "tile/", "tile/8/", 1); got != expected {
		return fmt.Errorf("sumdb writes %s", expected)
	}
	return nil
}
