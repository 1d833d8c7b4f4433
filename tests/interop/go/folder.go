package main

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// A folder is an export (C2SP tlog-tiles) as tlog reads it. It remembers what was read, by path below the root.
type folder struct {
	root string
	read map[string][]byte
}

func (f *folder) Height() int { return tileHeight }

func (f *folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f *folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := f.file(tilesPath(tile))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

// tilesPath is the path in tlog-tiles: tlog's own, without the height, and with another word for the bundles.
func tilesPath(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", tile.H))
	if tile.L == -1 {
		path = "entries" + strings.TrimPrefix(path, "data")
	}
	return "tile/" + path
}

// bundle gives the entries of one bundle in a log of some size, each of which stands after its length.
func (f *folder) bundle(number, size int64) ([][]byte, error) {
	width := tileWidth
	if rest := size - number*tileWidth; rest < tileWidth {
		width = int(rest)
	}
	path := tilesPath(tlog.Tile{H: tileHeight, L: -1, N: number, W: width})
	data, err := f.file(path)
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, fmt.Errorf("%s ends within an entry", path)
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		entries = append(entries, data[2:end])
		data = data[end:]
	}
	if len(entries) != width {
		return nil, fmt.Errorf("%s holds %d entries instead of %d", path, len(entries), width)
	}
	return entries, nil
}

func (f *folder) file(path string) ([]byte, error) {
	if data, ok := f.read[path]; ok {
		return data, nil
	}
	data, err := os.ReadFile(filepath.Join(f.root, filepath.FromSlash(path)))
	if err == nil {
		f.read[path] = data
	}
	return data, err
}

// checkAllRead fails for a tile or bundle in the export that nothing was verified with.
func (f *folder) checkAllRead() error {
	return filepath.WalkDir(filepath.Join(f.root, "tile"), func(path string, item fs.DirEntry, err error) error {
		if err != nil || item.IsDir() {
			return err
		}
		name, err := filepath.Rel(f.root, path)
		if err != nil {
			return err
		}
		if _, ok := f.read[filepath.ToSlash(name)]; !ok {
			return fmt.Errorf("files: %s belongs to no tree of this size", filepath.ToSlash(name))
		}
		return nil
	})
}
