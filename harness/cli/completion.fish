# What fish completes after squall; squall itself knows the words.

function _squall_completion
    set -l line (commandline --cut-at-cursor --current-process | string collect)
    set -l command (string replace --regex -- '^~' ~ (commandline --tokenize --current-process)[1])
    set -l word (commandline --cut-at-cursor --current-token)
    # What follows --flag= is completed, and the flag stays.
    set -l prefix (string match --regex -- '^--[^=]+=' $word)
    for answer in (env _SQUALL_COMPLETE=fish_complete COMP_WORDS="$line" COMP_CWORD="$word" $command)
        set -l told (string split --max 1 , -- $answer)
        switch $told[1]
            case plain
                echo "$prefix$told[2]"
            case file
                string replace --regex -- '^' "$prefix" (__fish_complete_path $told[2])
            case dir
                string replace --regex -- '^' "$prefix" (__fish_complete_directories $told[2])
        end
    end
end

complete --command squall --no-files --arguments '(_squall_completion)'
