package wire

import _ "embed"

//go:embed frame.lua
var frameLua string

//go:embed claim.lua
var claimLua string

//go:embed commit_usual.lua
var commitUsualLua string

//go:embed commit.lua
var commitLua string

//go:embed commit_large.lua
var commitLargeLua string

//go:embed look.lua
var lookLua string

//go:embed forget.lua
var forgetLua string

// The scripts. The head of each .lua file names its KEYS, ARGV and returns.
var (
	ClaimScript       = frameLua + claimLua
	CommitScript      = commitUsualLua + frameLua + commitLua
	CommitLargeScript = frameLua + commitLargeLua
	LookScript        = lookLua
	ForgetScript      = forgetLua
)
