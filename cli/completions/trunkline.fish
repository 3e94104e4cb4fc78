# Completion of trunkline for fish: the words that `trunkline COMMAND --help` lists.
function __trunkline_words
    set -l command (string match -r '^[a-z]+$' -- (commandline -opc)[2..-1])
    set -l help (trunkline $command --help 2>/dev/null)
    string replace -rf '^ +(-[[:alnum:]],)?(--[[:alnum:]-]+).*' '$2' -- $help
    string replace -rf '^  ([a-z]+) {2,}.*' '$1' -- $help
end
complete -c trunkline -a '(__trunkline_words)'
