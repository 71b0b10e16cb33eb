package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// completeWord is the word with which the completion scripts call mlenv back: it is followed by
// the words of the command line, the last of them the one to complete.
const completeWord = "__complete"

func completionCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the shell's completion script",
		ArgsUsage: "bash|zsh|fish",
		Description: "Put one of these lines into the shell's start-up file:\n\n" +
			"  source <(mlenv completion bash)\n" +
			"  source <(mlenv completion zsh)\n" +
			"  mlenv completion fish | source",
		Action: (&flagSet{}).action(func(_ context.Context, args []string) error {
			if len(args) != 1 || completionScripts[args[0]] == "" {
				return &usageError{msg: "completion takes one of bash, zsh, fish"}
			}
			_, err := fmt.Fprint(a.stdout, completionScripts[args[0]])
			return err
		}),
	}
}

// completionScripts ask mlenv itself for the candidates, so they never go stale. Where it has
// none the shell completes file names.
var completionScripts = map[string]string{
	"bash": `_mlenv() {
    local candidates
    candidates=$(mlenv __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1)
    COMPREPLY=($(compgen -W "$candidates" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o bashdefault -o default -F _mlenv mlenv
`,
	"zsh": `#compdef mlenv
_mlenv() {
    local -a candidates
    candidates=(${(f)"$(mlenv __complete "${(@)words[2,CURRENT]}" 2>/dev/null | sed 's/:/\\:/g; s/	/:/')"})
    if (( ${#candidates} )); then
        _describe mlenv candidates
    else
        _files
    fi
}
compdef _mlenv mlenv
`,
	"fish": `function __mlenv_complete
    set -l words (commandline -opc) (commandline -ct)
    mlenv __complete $words[2..-1] 2>/dev/null
end
function __mlenv_none
    test (count (__mlenv_complete)) -eq 0
end
complete -c mlenv -f -a '(__mlenv_complete)'
complete -c mlenv -F -n __mlenv_none
`,
}

// complete prints the candidates for the last of words, one a line, each with its description
// after a tab; nothing where a file name is wanted.
func (a *app) complete(root *cli.App, words []string) error {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	for _, c := range candidates(root, words[:len(words)-1], last) {
		if strings.HasPrefix(c, last) {
			if _, err := fmt.Fprintln(a.stdout, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func candidates(root *cli.App, before []string, last string) []string {
	flags, subs, operands := root.Flags, root.Commands, 0
	for i := 0; i < len(before); i++ {
		word := before[i]
		if len(word) > 1 && word[0] == '-' {
			f := flagNamed(flags, strings.TrimLeft(word, "-"))
			if f == nil || !flagTakesValue(f) {
				continue
			}
			if i++; i == len(before) {
				return flagValues(f)
			}
			continue
		}
		if sub := find(subs, word); sub != nil && operands == 0 {
			flags, subs = append(sub.Flags, flags...), sub.Subcommands
			continue
		}
		operands++
	}
	if strings.HasPrefix(last, "-") {
		return flagNames(flags)
	}
	if operands > 0 {
		return nil
	}
	var out []string
	for _, c := range subs {
		if !c.Hidden {
			out = append(out, c.Name+"\t"+c.Usage)
		}
	}
	return out
}

func flagNamed(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		for _, n := range f.Names() {
			if n == name {
				return f
			}
		}
	}
	return nil
}

func flagNames(flags []cli.Flag) []string {
	var out []string
	for _, f := range flags {
		usage := ""
		if d, ok := f.(cli.DocGenerationFlag); ok {
			usage = d.GetUsage()
		}
		out = append(out, "--"+f.Names()[0]+"\t"+usage)
	}
	return out
}

func flagValues(f cli.Flag) []string {
	if g, ok := f.(*cli.GenericFlag); ok {
		if c, ok := g.Value.(*choice); ok {
			return c.words
		}
	}
	return nil
}
