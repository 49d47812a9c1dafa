module coderun.test/pause

go 1.26
