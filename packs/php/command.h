/* The command line, as PHP's own: what `main` knows of it is the part that php-cgi has. */
enum { OF_THE_SYSTEM = 4, AT_START = 1, FORCED = 1, REFUSED_EXIT = 1, FOLLOW = 1 };
static const struct { const char *whole, *option; } names_of_options[] = {
    {"--run", "-r"}, {"--define", "-d"}, {"--no-php-ini", "-n"}, {"--php-ini", "-c"}, {"--syntax-check", "-l"}, {"--info", "-i"},
    {"--modules", "-m"}, {"--version", "-v"}, {"--file", "-f"}, {"--interactive", "-a"}, {"--strip", "-w"}, {"--usage", "-h"},
    {"--help", "-h"},
};
/* Settings that PHP reads where it starts, which it has done in the pack. */
static const char *const settings_of_the_start[] = {"disable_functions", "disable_classes", "extension", "zend_extension"};
static const char *const on[] = {"on", "yes", "true"}, *const off[] = {"off", "no", "false", "none", "null"};
#define COUNT(of) (sizeof of / sizeof *of)

static void say(const char *text) {
    uint32_t told;
    fd_write(2, &(part){(char *)text, length_of(text)}, 1, &told);
}
static bool refused(const char *option, const char *why, const char *fix) {
    say("php: `"), say(option), say("` cannot be used here: "), say(why), say("\nhint: "), say(fix), say("\n");
    return false;
}
static bool same_word(const char *a, const char *b) {
    for (; *a && (*a | 32) == *b; a++) b++;
    return *a == *b;
}
static const char *plain_setting(const char *value) {
    for (uint32_t i = 0; i < COUNT(on); i++)
        if (same_word(value, on[i])) return "1";
    for (uint32_t i = 0; i < COUNT(off); i++)
        if (same_word(value, off[i])) return "";
    return value;
}
/* `-d NAME=VALUE`: before the request, as from php.ini; the prelude sets again what has to be worked out. */
static bool define(const char *given) {
    static uint32_t length;
    uint32_t n = 0, all = length_of(given);
    while (given[n] && given[n] != '=') n++;
    string *name = text_of(given, n);
    const char *value = plain_setting(given[n] ? given + n + 1 : "1");
    string *text = text_of(value, length_of(value));
    char *settings = malloc(length + all + 3);
    if (!name || !text || !settings) return false;
    for (uint32_t i = 0; i < COUNT(settings_of_the_start); i++)
        if (same(name->text, settings_of_the_start[i]))
            return refused(name->text, "PHP reads it where it starts, and it has started in the pack",
                           "leave it out: the policy says what a program may do");
    try_define(name, text, OF_THE_SYSTEM, AT_START, FORCED);
    if (length) __builtin_memcpy(settings, files[SETTINGS].text, length);
    __builtin_memcpy(settings + length, given, all);
    length += all;
    if (!given[n]) settings[length++] = '=', settings[length++] = '1';
    settings[length++] = '\n';
    files[SETTINGS] = (file){".settings.ini", settings, length};
    return true;
}
/* What a server says where there is no such script is for a browser. */
static bool is_there(const char *path) {
    char told[64];
    while (*path == '/' || (*path == '.' && path[1] == '/')) path += *path == '/' ? 1 : 2;
    for (uint32_t i = 0; i < folder_count; i++) {
        const char *prefix = folders[i].prefix;
        uint32_t n = length_of(prefix);
        if (!begins(path, prefix) || (n && path[n] != '/')) continue;
        const char *rest = path + n + (n > 0);
        if (!path_filestat_get(folders[i].fd, FOLLOW, rest, length_of(rest), told) && told[16] != DIRECTORY) return true;
    }
    return false;
}
/* Gives how many words `main` is given; 0 where it is given none. */
static uint32_t command_line(uint32_t count, char **given, char **all) {
    uint32_t words = 0, at = 1, n = 0;
    char *script = NULL;
    bool about = false; /* it tells about PHP, and runs nothing */
    all[words++] = given[0];
    if (count == 1) return words; /* a request, as a server hands it over: variables say which script it is for */
    all[words++] = (char *)"-C";
    all[words++] = (char *)"-q";
    for (; at < count && given[at][0] == '-'; at++) {
        const char *option = given[at], *value = NULL;
        for (uint32_t i = 0; i < COUNT(names_of_options); i++)
            if (same(option, names_of_options[i].whole)) option = names_of_options[i].option;
        bool takes = begins(option, "-d") || begins(option, "-r") || same(option, "-c") || same(option, "-f");
        if (takes && option[2]) value = option + 2;
        else if (takes && at + 1 < count) value = given[++at];
        if (takes && !value) break;
        if (begins(option, "-d")) {
            if (!define(value)) return 0;
        } else if (begins(option, "-r")) {
            char *text = joined("<?php ", value);
            hand_in("Command line code", text, length_of(text));
            all[words++] = (char *)files[SCRIPT].name;
            at += 1 + (at + 1 < count && same(given[at + 1], "--"));
            break;
        } else if (same(option, "-f")) {
            all[words++] = script = (char *)value;
            at += 1 + (at + 1 < count && same(given[at + 1], "--"));
            break;
        } else if (same(option, "-a")) {
            refused("-a", "a guest has no terminal to type into", "ringfence repl php");
            return 0;
        } else if (same(option, "-")) {
            char *text = standard_input(&n);
            if (text) hand_in("-", text, n);
            break;
        } else if (!same(option, "-n") && !same(option, "-c")) {
            about |= option[1] && !option[2] && (option[1] == 'v' || option[1] == 'i' || option[1] == 'm' || option[1] == 'h');
            all[words++] = (char *)option;
        }
        if (same(option, "--")) {
            at++;
            break;
        }
    }
    if (!script && at < count && given[at][0] != '-' && !files[SCRIPT].name) {
        char *text = asked("S", 1, &n);
        if (text) hand_in(given[at], text, n);
        else script = given[at];
    }
    if (script && !about && !is_there(script)) {
        say("Could not open input file: "), say(script), say("\n");
        return 0;
    }
    while (at < count) all[words++] = given[at++];
    return words;
}
int EXPORT(rf_run)(void) {
    uint32_t count = 0, size = 0;
    come_alive();
    if (args_sizes_get(&count, &size)) return OUR_FAILURE;
    char **given = malloc((count + 1) * sizeof *given), **all = malloc((count + 4) * sizeof *all), *buffer = malloc(size + 1);
    if (!count || !given || !all || !buffer || args_get(given, buffer)) return OUR_FAILURE;
    uint32_t words = command_line(count, given, all);
    if (!words) return REFUSED_EXIT;
    all[words] = NULL;
    if (go_on(words, all) == JUMPED) return ended();
    return 0;
}
