# What bash, 4.4 or newer, completes after squall; squall itself knows the words.

_squall_completion() {
    local type value number word prefix='' place=$COMP_CWORD
    local -a words=()
    # Bash takes --flag=value apart, and squall is asked as if there were a space instead. Where
    # the sign takes nothing apart, the words have to begin with the flag.
    for ((number = 0; number <= COMP_CWORD; number++)); do
        word=${COMP_WORDS[number]}
        if [[ $word == '=' ]]; then
            if ((number < COMP_CWORD)); then
                ((place--))
                continue
            fi
            word=''
        fi
        words+=("$word")
    done
    [[ $word == --*=* ]] && prefix=${word%%=*}=
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            plain) COMPREPLY+=("$prefix$value") ;;
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
        esac
    done < <(
        IFS=$'\n'
        env _SQUALL_COMPLETE=bash_complete COMP_WORDS="${words[*]}" COMP_CWORD="$place" "${1/#\~/$HOME}"
    )
}

complete -o nosort -F _squall_completion squall
