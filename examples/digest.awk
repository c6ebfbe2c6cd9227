# digest.awk - sums up a dump: tasks by state, and the places where most of them wait.
# usage: awk -f digest.awk DUMP
#
# A block is "goroutine ID [STATE]:" or "[STATE, 3 minutes]:", then two lines a frame: the function,
# and a tab with FILE:LINE. The place of a wait is the first frame outside of the library.

/^goroutine [0-9]+ \[/ {
    state = $0
    sub(/^goroutine [0-9]+ \[/, "", state)
    sub(/(, [^\]]*)?\]:$/, "", state)
    states[state]++
    tasks++
    looking = state != "running" && state != "runnable" && state != "syscall"
    next
}

/^$/ || /^created by/ { looking = 0 }

looking && /^\t/ && !/\/(include\/weft|(runtime|http)\/[a-z]+)\/[a-z_0-9]+\.h?[#a-z.]*:[0-9]+/ {
    place = $1
    sub(/^.*\//, "", place)
    sub(/#\.c:/, ":", place) # the readers want every file to end in .c
    places[sprintf("%-20s at %s in %s", state, place, caller)]++
    looking = 0
}

{ caller = $0; sub(/\(.*/, "", caller) }

function print_most(count, most,    best, key, n) {
    for (n = 0; n < most; n++) {
        best = ""
        for (key in count)
            if (best == "" || count[key] > count[best] || (count[key] == count[best] && key < best))
                best = key
        if (best == "")
            return
        printf "%7d  %s\n", count[best], best
        delete count[best]
    }
}

END {
    printf "%d tasks by state\n", tasks
    print_most(states, 100)
    print "\nthe three most waited-for places"
    print_most(places, 3)
}
