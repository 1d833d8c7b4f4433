// Verify checks what tiergate's consent log gives out, with the packages of Go's own checksum database: signatures by
// sumdb/note, hashes and proofs by sumdb/tlog. Of the log's code it uses nothing; what is written here is file layout.
//
// What is right takes exit code 0 and one line on stdout; what is not, exit code 1 and one line on stderr that names it.
package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const usage = `usage: verify export VKEY DIRECTORY [OLDER-CHECKPOINT-FILE]
       verify receipt VKEY RECEIPT-FILE ENTRY-FILE
       verify growth VKEY OLDER-CHECKPOINT-FILE CHECKPOINT-FILE PROOF-FILE`

const proofHeader = "c2sp.org/tlog-proof@v1"

func main() {
	said, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(1)
	}
	fmt.Println(said)
}

func run(words []string) (string, error) {
	switch {
	case len(words) == 3 && words[0] == "export":
		return export(words[1], words[2], "")
	case len(words) == 4 && words[0] == "export":
		return export(words[1], words[2], words[3])
	case len(words) == 4 && words[0] == "receipt":
		return receipt(words[1], words[2], words[3])
	case len(words) == 5 && words[0] == "growth":
		return growth(words[1], words[2], words[3], words[4])
	}
	return "", errors.New(usage)
}

// openCheckpoint verifies a signed checkpoint (C2SP tlog-checkpoint) under a vkey; the head that it states.
func openCheckpoint(raw []byte, vkey string) (tree tlog.Tree, err error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tree, fmt.Errorf("key: %w", err)
	}
	opened, err := note.Open(raw, note.VerifierList(verifier))
	if err != nil {
		return tree, fmt.Errorf("checkpoint: %w", err)
	}
	// what was signed ends in a newline, so the last of at least four pieces is empty
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tree, errors.New("checkpoint: too few lines, or another origin than the key's name")
	}
	tree.N, err = decimal(lines[1])
	if err != nil {
		return tree, fmt.Errorf("checkpoint: size: %w", err)
	}
	if tree.N == 0 {
		return tree, errors.New("checkpoint: of an empty log, of which nothing can be proven")
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	if err != nil {
		return tree, fmt.Errorf("checkpoint: root: %w", err)
	}
	return tree, nil
}

func openCheckpointFile(path, vkey string) (tlog.Tree, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("checkpoint: %w", err)
	}
	return openCheckpoint(raw, vkey)
}

// decimal reads a number that has one form only.
func decimal(text string) (int64, error) {
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || number < 0 || strconv.FormatInt(number, 10) != text {
		return 0, fmt.Errorf("%q is no number in its one form", text)
	}
	return number, nil
}

func parseHashes(lines []string) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, line := range lines {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	return hashes, nil
}

// export checks a whole export: every tile leads to the signed root, every entry is where its leaf hash is proven to
// be, and no tile or bundle lies there that was not read for it. An older checkpoint must be a beginning of this log.
func export(vkey, directory, older string) (string, error) {
	tree, err := openCheckpointFile(filepath.Join(directory, "checkpoint"), vkey)
	if err != nil {
		return "", err
	}
	files := &folder{root: directory, read: map[string][]byte{}}
	hashes := tlog.TileHashReader(tree, files)
	if err := checkTiles(tree, hashes); err != nil {
		return "", err
	}
	if err := checkEntries(files, tree, hashes); err != nil {
		return "", err
	}
	if err := files.checkAllRead(); err != nil {
		return "", err
	}
	if older != "" {
		old, err := openCheckpointFile(older, vkey)
		if err != nil {
			return "", fmt.Errorf("older %w", err)
		}
		proof, err := tlog.ProveTree(tree.N, old.N, hashes)
		if err != nil {
			return "", fmt.Errorf("growth: %w", err)
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
			return "", fmt.Errorf("growth: from %d to %d: %w", old.N, tree.N, err)
		}
	}
	return fmt.Sprintf("export: %d entries, %d files, root %v", tree.N, len(files.read), tree.Hash), nil
}

// checkTiles reads every hash tile. ReadHashes compares the right edge of the tree with the root, but in some releases
// not every full tile with its parent, so that is done here for all of them.
func checkTiles(tree tlog.Tree, hashes tlog.HashReader) error {
	leaves := make([]int64, tree.N)
	for number := range leaves {
		leaves[number] = tlog.StoredHashIndex(0, int64(number))
	}
	if _, err := hashes.ReadHashes(leaves); err != nil {
		return fmt.Errorf("tiles: %w", err)
	}
	for level := tileHeight; tree.N>>level > 0; level += tileHeight {
		for number := int64(0); number < tree.N>>level; number++ {
			found, err := hashes.ReadHashes([]int64{
				tlog.StoredHashIndex(level, number),
				tlog.StoredHashIndex(level-1, 2*number),
				tlog.StoredHashIndex(level-1, 2*number+1),
			})
			if err != nil {
				return fmt.Errorf("tiles: %w", err)
			}
			if found[0] != tlog.NodeHash(found[1], found[2]) {
				tile := tlog.Tile{H: tileHeight, L: level/tileHeight - 1, N: number, W: tileWidth}
				return fmt.Errorf("tiles: %s does not lead to its parent", tilesPath(tile))
			}
		}
	}
	return nil
}

func checkEntries(files *folder, tree tlog.Tree, hashes tlog.HashReader) error {
	for start := int64(0); start < tree.N; start += tileWidth {
		entries, err := files.bundle(start/tileWidth, tree.N)
		if err != nil {
			return fmt.Errorf("entries: %w", err)
		}
		for offset, entry := range entries {
			index := start + int64(offset)
			proof, err := tlog.ProveRecord(tree.N, index, hashes)
			if err != nil {
				return fmt.Errorf("entry %d: %w", index, err)
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
				return fmt.Errorf("entry %d: %w", index, err)
			}
		}
	}
	return nil
}

// receipt checks one entry's inclusion proof (C2SP tlog-proof).
func receipt(vkey, path, entryPath string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("receipt: %w", err)
	}
	entry, err := os.ReadFile(entryPath)
	if err != nil {
		return "", fmt.Errorf("entry: %w", err)
	}
	head, checkpoint, found := strings.Cut(string(raw), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || lines[0] != proofHeader {
		return "", errors.New("receipt: no header, or no blank line")
	}
	lines = lines[1:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		if _, err := base64.StdEncoding.Strict().DecodeString(lines[0][len("extra "):]); err != nil {
			return "", fmt.Errorf("receipt: extra data: %w", err)
		}
		lines = lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return "", errors.New("receipt: no index")
	}
	index, err := decimal(lines[0][len("index "):])
	if err != nil {
		return "", fmt.Errorf("receipt: index: %w", err)
	}
	proof, err := parseHashes(lines[1:])
	if err != nil {
		return "", fmt.Errorf("receipt: hashes: %w", err)
	}
	tree, err := openCheckpoint([]byte(checkpoint), vkey)
	if err != nil {
		return "", fmt.Errorf("receipt: %w", err)
	}
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		return "", fmt.Errorf("receipt: inclusion of entry %d: %w", index, err)
	}
	return fmt.Sprintf("receipt: entry %d of %d", index, tree.N), nil
}

// growth checks a consistency proof between two checkpoints: a file with one base64 hash a line.
func growth(vkey, older, newer, path string) (string, error) {
	old, err := openCheckpointFile(older, vkey)
	if err != nil {
		return "", fmt.Errorf("older %w", err)
	}
	tree, err := openCheckpointFile(newer, vkey)
	if err != nil {
		return "", err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("growth: %w", err)
	}
	proof, err := parseHashes(strings.Fields(string(raw)))
	if err != nil {
		return "", fmt.Errorf("growth: hashes: %w", err)
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return "", fmt.Errorf("growth: from %d to %d: %w", old.N, tree.N, err)
	}
	return fmt.Sprintf("growth: from %d to %d", old.N, tree.N), nil
}
