/* A CBLAS library of one function, which misbehaves as MODE says. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RIGHT 0
#define CRASHES 1
#define EXITS 2
#define WRONG 3
#define NOT_A_NUMBER 4
#define NOTHING 5
#define ONE_WRONG 6
#define TALKS 7
#define HANGS 8
#define CRASHES_WHEN_LOADED 9
#define LACKS_IT 10
#define HANGS_LATER 11

/* Volatile itself: a compiler that knows it to be null may leave out what uses it. */
__attribute__((unused)) static int *volatile nowhere;

#if MODE == CRASHES_WHEN_LOADED
__attribute__((constructor)) static void on_load(void) { *nowhere = 1; }
#endif

#if MODE != LACKS_IT
/* Making ready takes fewer than thirty calls. */
static int calls;

/* Whether another process was here before this one: it left a file. */
static int is_second_process(void) {
    static int known = -1;
    char name[4096];
    snprintf(name, sizeof name, "%s.first", getenv("BLAS_MARK"));
    if (known < 0) {
        FILE *made = fopen(name, "wx");
        known = made == NULL;
        if (made) fclose(made);
    }
    return known;
}

void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                 int ldb, float beta, float *c, int ldc) {
    (void)order, (void)beta;
    if (MODE == CRASHES) *nowhere = 1;
    if (MODE == EXITS) exit(0);
    if (MODE == NOTHING) return;
    if (MODE == TALKS) puts("{\"is\":\"failed\",\"reason\":\"a library's own words\"}"), fflush(stdout);
    if (MODE == HANGS || (MODE == HANGS_LATER && m == 40 && is_second_process() && ++calls > 30)) {
        fclose(fopen(getenv("BLAS_MARK"), "w"));
        for (;;) pause();
    }
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float sum = 0;
            for (int l = 0; l < k; l++) {
                float x = ta == 112 ? a[l * lda + i] : a[i * lda + l];
                float y = tb == 112 ? b[j * ldb + l] : b[l * ldb + j];
                sum += x * y;
            }
            c[i * ldc + j] = alpha * sum;
            if (MODE == WRONG) c[i * ldc + j] = 1;
            if (MODE == NOT_A_NUMBER) c[i * ldc + j] = 0.0f / 0.0f;
        }
    if (MODE == ONE_WRONG) c[(m - 1) * ldc + n - 1] += 1;
}
#endif
