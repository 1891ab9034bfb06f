/* Units and revenue, in cents, of each region in a table of sales. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct region { char name[32]; long units, cents; };

static int by_name(const void *one, const void *other) {
    return strcmp(((const struct region *)one)->name, ((const struct region *)other)->name);
}

int main(void) {
    struct region regions[64];
    size_t count = 0;
    char line[256], name[32];
    FILE *table = fopen("/sales.csv", "r");
    if (!table || !fgets(line, sizeof line, table)) {
        perror("/sales.csv");
        return 1;
    }
    while (fgets(line, sizeof line, table)) {
        long units;
        double price;
        if (sscanf(line, "%*[^,],%31[^,],%*[^,],%ld,%lf", name, &units, &price) != 3) continue;
        size_t at = 0;
        while (at < count && strcmp(regions[at].name, name)) at++;
        if (at == sizeof regions / sizeof *regions) return 1;
        if (at == count) {
            memset(&regions[count++], 0, sizeof *regions);
            strcpy(regions[at].name, name);
        }
        regions[at].units += units;
        regions[at].cents += units * lround(price * 100);
    }
    qsort(regions, count, sizeof *regions, by_name);
    for (size_t at = 0; at < count; at++)
        printf("%s\"%s\": {\"units\": %ld, \"cents\": %ld}", at ? ", " : "{", regions[at].name, regions[at].units,
               regions[at].cents);
    puts("}");
}
