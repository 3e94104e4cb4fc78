# Completion of trunkline for bash: the words that `trunkline COMMAND --help` lists.
_trunkline() {
  local word command=() current=${COMP_WORDS[COMP_CWORD]}
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) ;; serve | sync | top | net | listen | send | ask | broadcast | peers | stats | tree | key | quarkchain) command+=("$word") ;; esac
  done
  local help words
  help=$(trunkline "${command[@]}" --help 2>/dev/null)
  if [[ $current == -* ]]; then
    words=$(sed -nE 's/^ +((-[[:alnum:]],)?(--[[:alnum:]-]+)).*/\3/p' <<<"$help")
  else
    words=$(sed -nE '/^Subcommands:/,/^$/ s/^  ([a-z]+) .*/\1/p' <<<"$help")
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  [ ${#COMPREPLY[@]} -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- "$current")
}
complete -o filenames -F _trunkline trunkline
