#compdef squall
# What zsh completes after squall; squall itself knows the words.

_squall() {
    local type value meaning
    local -a plain described
    local -i ret=1
    local asked="${words[*]}" place=$((CURRENT - 1))
    compset -P 1 '--*='  # what follows --flag= is completed, and the flag stays
    for type value meaning in "${(@f)$(
        env _SQUALL_COMPLETE=zsh_complete COMP_WORDS="$asked" COMP_CWORD="$place" ${~words[1]}
    )}"; do
        case $type in
            (plain)
                if [[ $meaning == _ ]]; then
                    plain+=("$value")
                else
                    described+=("$value:$meaning")
                fi ;;
            (file) _path_files && ret=0 ;;
            (dir) _path_files -/ && ret=0 ;;
        esac
    done
    (( $#described )) && _describe -V squall described && ret=0
    (( $#plain )) && compadd -V squall -a plain && ret=0
    return ret
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _squall "$@"  # out of a folder in fpath
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _squall squall
fi
