# Programs that come with knit. They use the installed interface only.
EXTRA_DIST += tools/check tools/quickstart
