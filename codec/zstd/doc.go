// Package zstd is a [codec.Transform] that compresses answers with Zstandard, by
// github.com/klauspost/compress.
//
// It pays where answers are larger than some hundred bytes: the store holds less,
// and a replay moves less. It authenticates nothing; put package aesgcm after it
// where others can write to the store (Transforms are applied in their order:
// zstd first). The size of a compressed answer tells something of its content,
// encrypted or not: leave compression out where an answer holds a secret beside
// text that an attacker chose.
//
// Nothing gets lost: Open gives the very bytes that Seal was given.
package zstd
